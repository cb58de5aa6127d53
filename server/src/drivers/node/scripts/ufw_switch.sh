case $(ufw status | head -n 1) in
"Status: active") ufw_is=enable ;;
*) ufw_is=disable ;;
esac
if [ "$ufw_is" = "$ufw_switch" ]; then
    exit 10
fi
if [ "$ufw_dry" = yes ]; then
    section ufw ufw --dry-run "$ufw_switch"
else
    section ufw ufw --force "$ufw_switch"
fi
[ "$section_exit" = 0 ] || exit 13
