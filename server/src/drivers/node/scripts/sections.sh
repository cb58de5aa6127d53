# What earlier scripts left because nobody fetched all their pages.
find "$naosu_home" -mindepth 1 -maxdepth 1 -type d -name "$naosu_nonce_shape" \
    -mmin +120 -exec rm -rf {} + 2>/dev/null
naosu_dir="$naosu_home/$naosu_nonce"
mkdir "$naosu_dir" || exit 1

# Runs a program and prints "name exit stdout-bytes stderr-bytes", then both
# streams: by lengths, so that nothing a program prints is taken for a border.
section() {
    section_name=$1
    shift
    if ! command -v "$1" >/dev/null 2>&1; then
        section_exit=absent
        printf '%s absent 0 0\n' "$section_name"
        return 0
    fi
    "$@" >"$naosu_dir/stdout" 2>"$naosu_dir/stderr" </dev/null
    section_exit=$?
    printf '%s %s %s %s\n' "$section_name" "$section_exit" \
        "$(($(wc -c <"$naosu_dir/stdout")))" "$(($(wc -c <"$naosu_dir/stderr")))"
    cat "$naosu_dir/stdout" "$naosu_dir/stderr"
    return 0
}

# The same for a file.
file_section() {
    if [ -r "$2" ]; then
        section "$1" cat "$2"
    else
        printf '%s absent 0 0\n' "$1"
    fi
}
