# Both backends apply to packets. Where there is only one program, it says itself
# which of the two it is.
save() {
    if command -v "$2" >/dev/null 2>&1; then
        section "$1" "$2"
        return
    fi
    if command -v "$3" >/dev/null 2>&1; then
        case $("$3" -V 2>/dev/null) in
        *nf_tables*) backend=nft ;;
        *) backend=legacy ;;
        esac
        if [ "$backend" = "$4" ]; then
            section "$1" "$3"
            return
        fi
    fi
    printf '%s absent 0 0\n' "$1"
}
save ipv4_nft iptables-nft-save iptables-save nft
save ipv4_legacy iptables-legacy-save iptables-save legacy
save ipv6_nft ip6tables-nft-save ip6tables-save nft
save ipv6_legacy ip6tables-legacy-save ip6tables-save legacy
# Tables that iptables does not show filter packets as well (firewalld,
# nftables.service). One line for each chain that the kernel itself calls:
# family, table, chain, type, hook, policy, number of rules.
nft_base_chains() {
    nft list tables >"$naosu_dir/nft_tables" || return 1
    while read -r _ nft_family nft_table; do
        case "$nft_family $nft_table" in
        "ip raw" | "ip mangle" | "ip nat" | "ip filter" | "ip security") continue ;;
        "ip6 raw" | "ip6 mangle" | "ip6 nat" | "ip6 filter" | "ip6 security") continue ;;
        esac
        nft list table "$nft_family" "$nft_table" >"$naosu_dir/nft_table" || return 1
        awk -v table="$nft_family $nft_table" '
            $1 == "chain" && $3 == "{" { chain = $2; type = ""; rules = 0; next }
            chain == "" { next }
            $1 == "type" && $3 == "hook" {
                type = $2; hook = $4; policy = "accept"
                if (match($0, /policy [a-z]+/)) policy = substr($0, RSTART + 7, RLENGTH - 7)
                next
            }
            /^\t}/ || /^}/ {
                if (type != "") print table, chain, type, hook, policy, rules
                chain = ""
                next
            }
            NF && $1 != "comment" { rules++ }
        ' "$naosu_dir/nft_table" || return 1
    done <"$naosu_dir/nft_tables" >"$naosu_dir/nft_chains"
    # More than anyone has; a part of them would say that the others are not there.
    [ "$(wc -l <"$naosu_dir/nft_chains")" -le 1000 ] || {
        echo "more than 1000 chains of nft" >&2
        return 1
    }
    cat "$naosu_dir/nft_chains"
}
if command -v nft >/dev/null 2>&1; then
    section nft_chains nft_base_chains
else
    printf 'nft_chains absent 0 0\n'
fi
# The node's own addresses, and which interface leads to other machines.
section ipv4_routes ip -4 route show table all
section ipv6_routes ip -6 route show table all
