#!/bin/sh
# What xl runs for a network interface that comes or goes. XENBUS_PATH is the directory of the back
# end in XenStore, vif the name of the interface (docs/misc/xl-network-configuration in Xen).
PATH=/bin

# xl shows this when it fails. A back end that was removed meanwhile is not made anew.
fail() {
    xenstore-exists "$XENBUS_PATH" || exit 1
    xenstore-write "$XENBUS_PATH/hotplug-error" "$*" "$XENBUS_PATH/hotplug-status" error
    exit 1
}

case "$1" in
online | add)
    # netback tells xl that it waits before it makes the interface.
    tries=0
    until [ -e "/sys/class/net/$vif" ] || [ $tries -ge 100 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
    said=$(ip link set "$vif" up 2>&1) || fail "$vif: $said"
    bridge=$(xenstore-read "$XENBUS_PATH/bridge" 2>&1) || fail "$vif: $bridge"
    said=$(brctl addif "$bridge" "$vif" 2>&1) || fail "$vif: $said"
    said=$(xenstore-write "$XENBUS_PATH/hotplug-status" connected 2>&1) || fail "$vif: $said"
    ;;
offline | remove)
    ip link set "$vif" down 2>/dev/null
    ;;
esac
exit 0
