#!/bin/sh
# What xl runs for a disk that comes or goes: a file becomes a loop device. XENBUS_PATH is the
# directory of the back end in XenStore; `params` is the file or device (docs/misc/block-scripts in
# Xen).
PATH=/bin

# xl shows this when it fails. A back end that was removed meanwhile is not made anew.
fail() {
    xenstore-exists "$XENBUS_PATH" || exit 1
    xenstore-write "$XENBUS_PATH/hotplug-error" "$*" "$XENBUS_PATH/hotplug-status" error
    exit 1
}

case "$1" in
add)
    file=$(xenstore-read "$XENBUS_PATH/params")
    if [ -b "$file" ]; then
        device=$file
    else
        # Another disk may take the same one: xl runs this for all disks of a guest at once.
        tries=0
        until device=$(losetup -f 2>&1) && said=$(losetup "$device" "$file" 2>&1); do
            tries=$((tries + 1))
            [ $tries -lt 50 ] || fail "no loop device for $file: $device: $said"
            sleep 0.1
        done
    fi
    xenstore-write "$XENBUS_PATH/node" "$device" \
        "$XENBUS_PATH/physical-device" "$(stat -L -c '%t:%T' "$device")" \
        "$XENBUS_PATH/physical-device-path" "$device" \
        "$XENBUS_PATH/hotplug-status" connected || fail "XenStore does not take $device"
    ;;
remove)
    device=$(xenstore-read "$XENBUS_PATH/node")
    [ "$device" = "$(xenstore-read "$XENBUS_PATH/params")" ] || losetup -d "$device"
    ;;
esac
exit 0
