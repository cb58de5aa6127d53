ufw_kernel=$(ufw_in_kernel)
if [ "$ufw_kernel" != "$(ufw_in_file)" ]; then
    echo "ufw.conf and the kernel disagree whether ufw is on (kernel: $ufw_kernel):" \
        "a rule would not reach packets as ufw says; run ufw enable or disable first" >&2
    exit 12
fi
if [ "$ufw_kernel" = yes ] && ! ufw_rules_are_loaded; then
    echo "the kernel does not have the rules in ufw's files: run ufw reload first" >&2
    exit 12
fi
# ufw refuses a position beyond its last rule; there, appending is the same.
ufw_count=$(ufw show added | grep -c '^ufw ')
if [ "$ufw_verb" = delete ]; then
    set -- delete
elif [ "$ufw_position" -gt 0 ] && [ "$ufw_position" -le "$ufw_count" ]; then
    set -- insert "$ufw_position"
else
    set --
fi
# shellcheck disable=SC2086 # words that the host checked
set -- "$@" $ufw_rule
if [ "$ufw_dry" = yes ]; then
    # For rules, but not for enable, disable and default, --dry-run writes nothing.
    section ufw ufw --dry-run "$@"
else
    section ufw ufw "$@"
fi
[ "$section_exit" = 0 ] || exit 13
if [ "$ufw_dry" = no ] && [ "$ufw_kernel" = yes ] && ! ufw_rules_are_loaded; then
    echo "ufw changed its files, but the kernel's rules are others" >&2
    exit 13
fi
