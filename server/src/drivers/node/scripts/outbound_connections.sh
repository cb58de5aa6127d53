section listening ss -H -lnt
section established ss -H -tnp state established
# Connections of pods are seen only where the kernel tracks them. One that nobody
# answered is none.
conntrack_counts() {
    awk '!/UNREPLIED|SYN_SENT/ {
        source = ""; destination = ""; port = ""
        for (i = 1; i <= NF; i++) {
            if (source == "" && substr($i, 1, 4) == "src=") source = substr($i, 5)
            if (destination == "" && substr($i, 1, 4) == "dst=") destination = substr($i, 5)
            if (port == "" && substr($i, 1, 6) == "dport=") port = substr($i, 7)
        }
        if (source != "" && port != "") counts[source " " destination " " port]++
    } END { for (key in counts) print counts[key], key }' /proc/net/nf_conntrack |
        sort -rn | head -n 1000
}
if [ -r /proc/net/nf_conntrack ]; then
    section tracked conntrack_counts
else
    printf 'tracked absent 0 0\n'
fi
