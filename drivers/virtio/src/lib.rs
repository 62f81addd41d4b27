//! Virtio devices of QEMU behind the device traits.
#![no_std]
