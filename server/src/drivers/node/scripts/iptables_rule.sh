# Compare and write under one lock. Exit codes as for ufw.
# The lock is held here, so the programs below are given another file for theirs.
exec 9>/run/xtables.lock
flock -w 60 9 || {
    echo "another program holds the xtables lock" >&2
    exit 12
}
XTABLES_LOCKFILE="$naosu_dir/xtables.lock"
export XTABLES_LOCKFILE
command -v "$save_program" >/dev/null 2>&1 || {
    save_program=$generic_save_program
    restore_program=$generic_restore_program
}
"$save_program" -t "$table" >"$naosu_dir/table" || exit 12
awk -v chain="$chain" '$1 == "-A" && $2 == chain' "$naosu_dir/table" >"$naosu_dir/chain"
rule=$(printf %s "$rule_base64" | base64 -d)
there=$(sed -n "${position}p" "$naosu_dir/chain")
chain_seen=$(sha256sum <"$naosu_dir/chain")
if [ "${chain_seen%% *}" != "$chain_sha256" ]; then
    echo "the chain changed since it was read" >&2
    exit 11
fi
case $operation in
insert)
    [ "$there" != "$rule" ] || exit 10
    [ "$position" -le "$(($(wc -l <"$naosu_dir/chain") + 1))" ] || {
        echo "the chain has no position $position" >&2
        exit 12
    }
    ;;
delete)
    if [ "$there" != "$rule" ]; then
        grep -Fxq -e "$rule" "$naosu_dir/chain" || exit 10
        echo "the rule is no longer at position $position" >&2
        exit 11
    fi
    ;;
*) exit 12 ;;
esac
{
    printf '*%s\n' "$table"
    printf %s "$line_base64" | base64 -d
    printf '\nCOMMIT\n'
} >"$naosu_dir/batch"
if [ "$iptables_dry" = yes ]; then
    section restore "$restore_program" --noflush --test -w 30 "$naosu_dir/batch"
else
    section restore "$restore_program" --noflush -w 30 "$naosu_dir/batch"
fi
# The batch is one transaction: it failed as a whole.
[ "$section_exit" = 0 ] || exit 12
