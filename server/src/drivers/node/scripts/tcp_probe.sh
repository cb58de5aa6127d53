number=0
for host in $probe_hosts; do
    number=$((number + 1))
    # Several at once: a silent host takes the whole time limit.
    (
        naosu_dir="$naosu_dir/probe_$number"
        mkdir "$naosu_dir" || exit 1
        {
            begin=$(date +%s%N)
            section "connect_$number" timeout "$probe_seconds" bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$host" "$probe_port"
            end=$(date +%s%N)
            section "elapsed_$number" echo "$(((end - begin) / 1000000))"
        } >"$naosu_dir/sections"
    ) &
    [ "$((number % 16))" -ne 0 ] || wait
done
wait
while [ "$number" -gt 0 ]; do
    cat "$naosu_dir/probe_$number/sections"
    number=$((number - 1))
done
