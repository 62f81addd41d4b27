//! What a virtio network device can do (Virtual I/O Device 1.2, sections 5.1.3 and 5.1.4).

use mayfly_device::{Checksums, NetInfo, Segmentation, is_unicast};
use virtio_drivers::transport::Transport as Registers;

use super::{
    BUFFER_SIZE, LARGE_BUFFER_SIZE, SPARE_BUFFERS,
    header::{self, Layout},
};
use crate::{StartError, negotiate::ANY_LAYOUT, transport::Transport};

/// The device fills in checksums.
pub(super) const CSUM: u64 = 1 << 0;
/// The driver takes frames whose checksum was not filled in.
pub(super) const GUEST_CSUM: u64 = 1 << 1;
/// The configuration holds the MTU.
pub(super) const MTU: u64 = 1 << 3;
/// The configuration holds the address.
pub(super) const MAC: u64 = 1 << 5;
/// The driver takes TCP over IPv4 that was not cut into segments.
pub(super) const GUEST_TSO4: u64 = 1 << 7;
/// The driver takes TCP over IPv6 that was not cut into segments.
pub(super) const GUEST_TSO6: u64 = 1 << 8;
/// The device cuts TCP over IPv4 into segments.
pub(super) const HOST_TSO4: u64 = 1 << 11;
/// The device cuts TCP over IPv6 into segments.
pub(super) const HOST_TSO6: u64 = 1 << 12;

/// The device spreads long frames over several receive buffers.
pub(super) const MRG_RXBUF: u64 = 1 << 15;

/// What the driver makes use of.
pub(super) const WANTED: u64 = CSUM | GUEST_CSUM | MTU | MAC | HOST_TSO4 | HOST_TSO6 | ANY_LAYOUT;
/// What it makes use of besides if it has buffers enough for a long frame.
pub(super) const WANTED_WITH_MEMORY: u64 = WANTED | GUEST_TSO4 | GUEST_TSO6 | MRG_RXBUF;
/// Without the first, long frames would take receive buffers of 64 KiB each.
pub(super) const NEEDED_BY: &[(u64, u64)] = &[(MRG_RXBUF, GUEST_TSO4 | GUEST_TSO6)];

/// Offsets into the device's configuration.
const CONFIG_MAC: usize = 0;
const CONFIG_MTU: usize = 10;

const ETHERNET_HEADER: usize = 14;
const ETHERNET_MTU: u16 = 1500;

/// Smallest MTU that IPv4 works with (RFC 791).
const SMALLEST_MTU: u16 = 68;

/// What was agreed on, in the words of the device traits.
pub(super) struct Abilities {
    pub(super) info: NetInfo,
    pub(super) segmentation: Segmentation,
    pub(super) layout: Layout,
}

impl Abilities {
    /// Reads the configuration of a device with these features.
    pub(super) fn read(transport: &Transport, features: u64) -> Result<Self, StartError> {
        let has = |feature| features & feature != 0;
        if transport.requires_legacy_layout() && !has(ANY_LAYOUT) {
            // Header and frame could not be in one descriptor.
            return Err(StartError::Legacy);
        }
        let layout = Layout::for_device(transport, has(MRG_RXBUF));
        let checksums = Checksums { on_transmit: has(CSUM), on_receive: has(GUEST_CSUM) };
        let info = NetInfo {
            mac: address(transport, features)?,
            mtu: mtu(transport, features)?,
            headroom: layout.size(),
            checksums,
            spare_buffers: SPARE_BUFFERS,
        };
        // Cutting a packet into segments takes filling in their checksums.
        let longest = |feature| match has(feature) && has(CSUM) {
            true => LARGE_BUFFER_SIZE - layout.size(),
            false => 0,
        };
        let segmentation =
            Segmentation { tcp_ipv4: longest(HOST_TSO4), tcp_ipv6: longest(HOST_TSO6) };
        Ok(Self { info, segmentation, layout })
    }
}

/// The device's address; a fixed locally administered one if it has none, which QEMU's always have.
fn address(transport: &Transport, features: u64) -> Result<[u8; 6], StartError> {
    if features & MAC == 0 {
        return Ok([0x02, 0, 0, 0, 0, 1]);
    }
    let mac = transport.read_consistent(|| transport.read_config_space(CONFIG_MAC))?;
    if is_unicast(mac) { Ok(mac) } else { Err(StartError::Configuration) }
}

/// The MTU of the network, or Ethernet's, whichever is smaller: larger frames do not fit the
/// buffers, and a smaller MTU than the network's is always allowed.
fn mtu(transport: &Transport, features: u64) -> Result<usize, StartError> {
    if features & MTU == 0 {
        return Ok(ETHERNET_MTU.into());
    }
    let mtu: u16 = transport.read_consistent(|| transport.read_config_space(CONFIG_MTU))?;
    if mtu < SMALLEST_MTU {
        Err(StartError::Configuration)
    } else {
        Ok(mtu.min(ETHERNET_MTU).into())
    }
}

const _: () = assert!(ETHERNET_HEADER + ETHERNET_MTU as usize + header::MAX_SIZE <= BUFFER_SIZE);
