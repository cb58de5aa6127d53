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
# The node's own addresses, and which interface leads to other machines.
section ipv4_routes ip -4 route show table all
section ipv6_routes ip -6 route show table all
