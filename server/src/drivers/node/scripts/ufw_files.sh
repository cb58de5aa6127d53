# A digest of all that ufw sets in force when it is enabled, whether it is or not.
ufw_files() {
    for ufw_file in /etc/default/ufw /etc/ufw/*.rules /etc/ufw/*.init; do
        [ -r "$ufw_file" ] || continue
        if [ -x "$ufw_file" ]; then
            printf '%s runs\n' "$ufw_file"
        else
            printf '%s\n' "$ufw_file"
        fi
        cat "$ufw_file"
    done | sha256sum | cut -d ' ' -f 1
}
