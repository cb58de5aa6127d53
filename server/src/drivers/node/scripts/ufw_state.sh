# ufw is in two places: in the kernel, which `ufw status` tells of, and in its files,
# by which it decides whether a rule goes to the kernel too. Where the two disagree,
# what ufw says it did is not what happened.

# A setting as ufw reads it: the last line counts, case and quotes do not.
ufw_setting() {
    grep -E "^$1=\"?[[:alnum:]_]" "$2" 2>/dev/null | tail -n 1 | cut -d = -f 2 |
        tr -d "\"' \t" | tr '[:upper:]' '[:lower:]'
}

ufw_in_kernel() {
    case $(ufw status | head -n 1) in
    "Status: active") echo yes ;;
    *) echo no ;;
    esac
}

ufw_in_file() {
    case $(ufw_setting ENABLED /etc/ufw/ufw.conf) in
    yes) echo yes ;;
    *) echo no ;;
    esac
}

# Whether the kernel's chains for ufw's rules hold as many as the files they are
# loaded from. The programs write one rule differently, so they are counted.
ufw_rules_are_loaded() {
    ufw_family_is_loaded iptables ufw /etc/ufw/user.rules || return 1
    if [ "$(ufw_setting IPV6 /etc/default/ufw)" = yes ] && [ -e /proc/sys/net/ipv6 ]; then
        ufw_family_is_loaded ip6tables ufw6 /etc/ufw/user6.rules
    fi
}

ufw_family_is_loaded() {
    for ufw_hook in input output forward; do
        ufw_chain="$2-user-$ufw_hook"
        ufw_loaded=$("$1" -w 10 -S "$ufw_chain" 2>/dev/null | grep -c "^-A $ufw_chain ")
        ufw_kept=$(grep -c "^-A $ufw_chain " "$3" 2>/dev/null)
        [ "${ufw_loaded:-0}" = "${ufw_kept:-0}" ] || return 1
    done
}
