number=0
for host in $probe_hosts; do
    number=$((number + 1))
    begin=$(date +%s%N)
    section "connect_$number" timeout "$probe_seconds" bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$host" "$probe_port"
    end=$(date +%s%N)
    section "elapsed_$number" echo "$(((end - begin) / 1000000))"
done
