# Exit 10: it is like that already. 11: it changed since it was read. 12: refused,
# nothing was changed. 13: the program failed.
command -v ufw >/dev/null 2>&1 || {
    echo "ufw is not installed" >&2
    exit 12
}
case $fence_kind in
status) fence_seen=$({
    ufw status verbose
    ufw status numbered
} 2>/dev/null | sha256sum) ;;
rules) fence_seen=$(cat /etc/ufw/user.rules /etc/ufw/user6.rules 2>/dev/null | sha256sum) ;;
*) exit 12 ;;
esac
[ "${fence_seen%% *}" = "$fence_sha256" ] || {
    echo "the rules of ufw changed since they were read" >&2
    exit 11
}
[ -z "${fence_files-}" ] || [ "$(ufw_files)" = "$fence_files" ] || {
    echo "the files of ufw changed since they were read" >&2
    exit 11
}
