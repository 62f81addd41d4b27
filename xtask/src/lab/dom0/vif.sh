#!/bin/sh
# What xl runs for a network interface that comes or goes. XENBUS_PATH is the directory of the back
# end in XenStore, vif the name of the interface (docs/misc/xl-network-configuration in Xen).
PATH=/bin
case "$1" in
online | add)
    ip link set "$vif" up &&
        brctl addif "$(xenstore-read "$XENBUS_PATH/bridge")" "$vif" &&
        xenstore-write "$XENBUS_PATH/hotplug-status" connected
    ;;
offline | remove)
    ip link set "$vif" down 2>/dev/null
    ;;
esac
exit 0
