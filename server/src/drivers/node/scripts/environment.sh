# The same on every node, whatever shell and locale Run Command starts with.
LC_ALL=C
LANG=C
LANGUAGE=C
PATH=/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin
export LC_ALL LANG LANGUAGE PATH
umask 077
naosu_base=/run
[ -w /run ] || naosu_base=/tmp
# All that scripts keep for their later pages is below this directory of their own.
# In /tmp anybody may have put something in its place: that is not used.
naosu_home="$naosu_base/naosu.d"
mkdir -m 0700 "$naosu_home" 2>/dev/null
[ "$(stat -c '%u %a %F' "$naosu_home")" = "$(id -u) 700 directory" ] || {
    echo "$naosu_home is not a directory of this user alone: remove it" >&2
    exit 1
}

# Prints one page of what the script under nonce $1 printed; removes it all after
# the last. Run Command keeps the last 4,096 bytes only, so the end always
# survives, and a page whose begin is missing is known to be cut.
naosu_print_page() {
    naosu_from="$naosu_home/$1"
    naosu_size=$(wc -c <"$naosu_from/packed") || return 1
    naosu_pages=$(((naosu_size + naosu_page_bytes - 1) / naosu_page_bytes))
    printf '[naosu begin nonce=%s]\n' "$naosu_nonce"
    tail -c +$((($2 - 1) * naosu_page_bytes + 1)) "$naosu_from/packed" | head -c "$naosu_page_bytes"
    printf '\n[naosu end nonce=%s page=%s pages=%s %s]\n' \
        "$naosu_nonce" "$2" "$naosu_pages" "$(cat "$naosu_from/meta")"
    if [ "$2" -ge "$naosu_pages" ]; then
        rm -rf "$naosu_from"
    fi
}
