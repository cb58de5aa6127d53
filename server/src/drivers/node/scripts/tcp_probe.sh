begin=$(date +%s%N)
section connect timeout "$probe_seconds" bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$probe_host" "$probe_port"
end=$(date +%s%N)
section elapsed echo "$(((end - begin) / 1000000))"
