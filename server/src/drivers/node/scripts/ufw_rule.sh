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
    section ufw ufw --dry-run "$@"
else
    section ufw ufw "$@"
fi
[ "$section_exit" = 0 ] || exit 13
