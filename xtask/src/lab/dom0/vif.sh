#!/bin/sh
# What xl runs for a network interface that comes or goes. XENBUS_PATH is the directory of the back
# end in XenStore, vif the name of the interface (docs/misc/xl-network-configuration in Xen).
PATH=/bin
case "$1" in
online | add)
    # netback tells xl that it waits before it makes the interface.
    tries=0
    until [ -e "/sys/class/net/$vif" ] || [ $tries -ge 100 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
    if ! said=$({
        ip link set "$vif" up &&
            brctl addif "$(xenstore-read "$XENBUS_PATH/bridge")" "$vif" &&
            xenstore-write "$XENBUS_PATH/hotplug-status" connected
    } 2>&1); then
        # xl shows this when it fails.
        xenstore-write "$XENBUS_PATH/hotplug-error" "$vif: $said" \
            "$XENBUS_PATH/hotplug-status" error
        exit 1
    fi
    ;;
offline | remove)
    ip link set "$vif" down 2>/dev/null
    ;;
esac
exit 0
