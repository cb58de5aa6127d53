case $ufw_switch in
enable) ufw_wanted=yes ;;
disable) ufw_wanted=no ;;
*) exit 12 ;;
esac
ufw_is_as_wanted() {
    [ "$(ufw_in_kernel)" = "$ufw_wanted" ] && [ "$(ufw_in_file)" = "$ufw_wanted" ]
}
if ufw_is_as_wanted; then
    exit 10
fi
if [ "$ufw_dry" = no ]; then
    section ufw ufw --force "$ufw_switch"
    [ "$section_exit" = 0 ] || exit 13
    ufw_is_as_wanted || {
        echo "ufw says that it is done, but ufw.conf and the kernel do not both say so" >&2
        exit 13
    }
    exit 0
fi
# In spite of --dry-run, `ufw enable` and `ufw disable` write ufw.conf (ufw 0.36.2,
# set_enabled). So it gets a copy in the place of its files, which this one program
# sees and nothing else does. Exit 14: there is no such place here.
mkdir "$naosu_dir/copy" &&
    cp -rLp /etc/ufw "$naosu_dir/copy/ufw" &&
    cp -Lp /etc/default/ufw "$naosu_dir/copy/defaults" &&
    command -v unshare >/dev/null 2>&1 || exit 14
section ufw unshare --mount --propagation private sh -c '
    mount --bind "$0/ufw" /etc/ufw && mount --bind "$0/defaults" /etc/default/ufw || exit 114
    [ /etc/ufw/ufw.conf -ef "$0/ufw/ufw.conf" ] || exit 114
    exec ufw --dry-run "$1"' "$naosu_dir/copy" "$ufw_switch"
case $section_exit in
0) ;;
114) exit 14 ;;
*)
    if grep -q '^unshare:' "$naosu_dir/stderr"; then exit 14; fi
    exit 13
    ;;
esac
