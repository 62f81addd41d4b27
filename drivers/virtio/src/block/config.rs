//! What a virtio block device says about itself (Virtual I/O Device 1.2, sections 5.2.3, 5.2.4).

use mayfly_device::{BlockInfo, MAX_DISCARD, MIN_SECTOR_SIZE};
use virtio_drivers::transport::Transport as Registers;

use crate::{StartError, transport::Transport};

/// No piece of data may be longer than `size_max`.
const SIZE_MAX: u64 = 1 << 1;
/// Writes fail.
const RO: u64 = 1 << 5;
/// `blk_size` is valid.
const BLK_SIZE: u64 = 1 << 6;
/// There is a cache, and a command that empties it.
const FLUSH: u64 = 1 << 9;
/// There is a discard command.
const DISCARD: u64 = 1 << 13;

pub(super) const WANTED: u64 = SIZE_MAX | RO | BLK_SIZE | FLUSH | DISCARD;

/// Offsets into the configuration.
const CAPACITY: usize = 0;
const CONFIG_SIZE_MAX: usize = 8;
const CONFIG_BLK_SIZE: usize = 20;
const CONFIG_MAX_DISCARD: usize = 36;

/// The unit of `capacity`, of a request's position and of discards, whatever the sector size.
pub(super) const UNIT: usize = 512;

/// Most bytes of data in a request. Enough to keep the cost of a request out of sight, little
/// enough to be found in one piece in a small heap.
const MAX_TRANSFER: usize = 64 * 1024;

/// Largest sector size that makes sense; QEMU allows up to 2 MiB.
const MAX_SECTOR_SIZE: usize = MAX_TRANSFER;

/// Reads what the device is.
pub(super) fn read(transport: &Transport, features: u64) -> Result<BlockInfo, StartError> {
    let has = |feature| features & feature != 0;
    let word = |offset| transport.read_config_space::<u32>(offset);
    let (low, high) = transport.read_consistent(|| Ok((word(CAPACITY)?, word(CAPACITY + 4)?)))?;
    let capacity = u64::from(high) << 32 | u64::from(low);
    let sector_size = if has(BLK_SIZE) { word(CONFIG_BLK_SIZE)? as usize } else { UNIT };
    if !sector_size.is_power_of_two() || !(MIN_SECTOR_SIZE..=MAX_SECTOR_SIZE).contains(&sector_size)
    {
        return Err(StartError::Configuration);
    }
    let longest = if has(SIZE_MAX) { word(CONFIG_SIZE_MAX)? as usize } else { MAX_TRANSFER };
    let max_sectors = longest.min(MAX_TRANSFER) / sector_size;
    if max_sectors == 0 {
        return Err(StartError::Configuration);
    }
    let can_discard = has(DISCARD) && word(CONFIG_MAX_DISCARD)? as usize >= MAX_DISCARD / UNIT;
    Ok(BlockInfo {
        sector_size,
        sectors: capacity / (sector_size / UNIT) as u64,
        read_only: has(RO),
        removable: false,
        max_sectors,
        can_flush: has(FLUSH),
        can_discard,
    })
}
