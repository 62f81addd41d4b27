//! virtio-mmio transports that the loader names on the command line.
//!
//! QEMU's microvm appends `virtio_mmio.device=SIZE@BASE:IRQ` for each device, in the form that Linux
//! takes (Documentation/admin-guide/kernel-parameters.txt).

use crate::{Irq, PhysAddr, PhysRange, VirtioMmio};

/// Bytes of the register block before the device's configuration (virtio 1.2, 4.2.2).
const MIN_SIZE: u64 = 0x100;

/// Lines of two IO-APICs.
const MAX_IRQ: u32 = 48;

/// The transports on `command_line`, or a warning for each that makes no sense.
pub fn on_command_line(
    command_line: &str,
) -> impl Iterator<Item = Result<VirtioMmio, &'static str>> {
    command_line
        .split_ascii_whitespace()
        .filter_map(|argument| argument.strip_prefix("virtio_mmio.device="))
        .map(|value| parse(value).ok_or("a virtio_mmio.device= argument makes no sense"))
}

/// A transport from numbers that somebody stated, if they make sense.
pub(super) fn transport(base: u64, size: u64, irq: u64) -> Option<VirtioMmio> {
    let irq = u32::try_from(irq).ok().filter(|&irq| irq < MAX_IRQ)?;
    let registers = PhysRange::new(PhysAddr(base), size).filter(|own| own.size() >= MIN_SIZE)?;
    Some(VirtioMmio { registers, irq: Irq(irq) })
}

fn parse(value: &str) -> Option<VirtioMmio> {
    let (size, rest) = value.split_once('@')?;
    let mut parts = rest.split(':');
    transport(number(parts.next()?)?, number(size)?, number(parts.next()?)?)
}

/// A number as Linux's `memparse` takes it: decimal or hexadecimal, with K, M or G.
fn number(text: &str) -> Option<u64> {
    let (digits, shift) = [(['k', 'K'], 10), (['m', 'M'], 20), (['g', 'G'], 30)]
        .into_iter()
        .find_map(|(suffix, shift)| Some((text.strip_suffix(suffix)?, shift)))
        .unwrap_or((text, 0));
    let value = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => digits.parse(),
    };
    value.ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transports(line: &str) -> Vec<Result<VirtioMmio, &'static str>> {
        on_command_line(line).collect()
    }

    #[test]
    fn qemu_arguments_are_understood() {
        let found = transports(
            "ip=dhcp virtio_mmio.device=512@0xfeb00000:5 x virtio_mmio.device=1K@0xfeb00200:12:3",
        );
        let transport = |base, size, irq| {
            let registers = PhysRange::new(PhysAddr(base), size).unwrap();
            Ok(VirtioMmio { registers, irq: Irq(irq) })
        };
        assert_eq!(found, [transport(0xfeb0_0000, 512, 5), transport(0xfeb0_0200, 1024, 12)]);
    }

    #[test]
    fn nonsense_is_a_warning() {
        for bad in [
            "",
            "512",
            "512@",
            "512@0xfeb00000",
            "512@0xfeb00000:",
            "512@0xfeb00000:48",
            "K@1:1",
            "8@0:1",
            "512@0xffffffffffffffff:1",
            "0xffffffffffffffffG@0:1",
            "-1@0:1",
            "512@é:1",
            "512@0xfeb00000:4294967301",
        ] {
            let line = format!("virtio_mmio.device={bad}");
            assert!(transports(&line)[0].is_err(), "{bad}");
        }
    }
}
