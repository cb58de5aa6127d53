# Whether the kernel surely has no tables of nftables: looked at first, because
# the programs below load what they ask for.
nf_tables_is_out() {
    nf_tables_builtin=/lib/modules/$(uname -r)/modules.builtin
    [ -r /proc/modules ] && ! grep -q '^nf_tables ' /proc/modules &&
        [ -r "$nf_tables_builtin" ] && ! grep -q '/nf_tables\.ko' "$nf_tables_builtin"
}
if nf_tables_is_out; then nf_tables=out; else nf_tables=maybe; fi
# Both backends apply to packets. Where there is only one program, it says itself
# which of the two it is.
save() {
    if command -v "$2" >/dev/null 2>&1; then
        section "$1" "$2"
        saved="$saved $1"
        return
    fi
    if command -v "$3" >/dev/null 2>&1; then
        case $("$3" -V 2>/dev/null) in
        *nf_tables*) backend=nft ;;
        *) backend=legacy ;;
        esac
        if [ "$backend" = "$4" ]; then
            section "$1" "$3"
            saved="$saved $1"
            return
        fi
    fi
    printf '%s absent 0 0\n' "$1"
}
saved=
save ipv4_nft iptables-nft-save iptables-save nft
save ipv4_legacy iptables-legacy-save iptables-save legacy
save ipv6_nft ip6tables-nft-save ip6tables-save nft
save ipv6_legacy ip6tables-legacy-save ip6tables-save legacy
# Whether a section above shows a table of nftables.
is_saved() {
    case $2 in
    raw | mangle | nat | filter | security) ;;
    *) return 1 ;;
    esac
    case "$1 $saved " in
    "ip "*" ipv4_nft "* | "ip6 "*" ipv6_nft "*) return 0 ;;
    *) return 1 ;;
    esac
}
# Other tables filter packets as well (firewalld, nftables.service), and so do
# iptables' own where no program is there to save them. One line for each chain
# that the kernel itself calls: family, table, chain, type, hook, policy, number
# of rules, and how many lines of the table may drop packets: in whatever chain or
# map, because rules lead from one to another, and "xt" or a remark stands for what
# nft cannot tell.
nft_base_chains() {
    nft list tables >"$naosu_dir/nft_tables" || return 1
    while read -r _ nft_family nft_table; do
        ! is_saved "$nft_family" "$nft_table" || continue
        nft list table "$nft_family" "$nft_table" >"$naosu_dir/nft_table" || return 1
        awk -v table="$nft_family $nft_table" '
            { said = $0; gsub(/"[^"]*"/, "", said) }
            /^[ \t]/ && said ~ /(^|[^a-zA-Z0-9_.-])(drop|reject|queue|synproxy|xt|#.*)([^a-zA-Z0-9_.-]|$)/ {
                if ($1 != "type" && $1 != "chain") dropping++
            }
            $1 == "chain" && $3 == "{" { chain = $2; type = ""; rules = 0; next }
            chain == "" { next }
            $1 == "type" && $3 == "hook" {
                type = $2; hook = $4; policy = "accept"
                if (match($0, /policy [a-z]+/)) policy = substr($0, RSTART + 7, RLENGTH - 7)
                next
            }
            /^\t}/ || /^}/ {
                if (type != "") lines[++count] = table " " chain " " type " " hook " " policy " " rules
                chain = ""
                next
            }
            NF && $1 != "comment" { rules++ }
            END { for (at = 1; at <= count; at++) print lines[at], dropping + 0 }
        ' "$naosu_dir/nft_table" || return 1
    done <"$naosu_dir/nft_tables" >"$naosu_dir/nft_chains"
    # More than anyone has; a part of them would say that the others are not there.
    [ "$(wc -l <"$naosu_dir/nft_chains")" -le 1000 ] || {
        echo "more than 1000 chains of nft" >&2
        return 1
    }
    cat "$naosu_dir/nft_chains"
}
# AKS images have nft. Without it, tables that iptables does not show may be there
# all the same (firewalld and containers bring their own), unless nf_tables is not.
if command -v nft >/dev/null 2>&1; then
    section nft_chains nft_base_chains
elif [ "$nf_tables" = out ]; then
    section nft_chains true
else
    printf 'nft_chains absent 0 0\n'
fi
# The node's own addresses, and which interface leads to other machines.
section ipv4_routes ip -4 route show table all
section ipv6_routes ip -6 route show table all
