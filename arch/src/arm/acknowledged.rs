//! Which interrupt has come, by what the controller answers when that is acknowledged.

use core::ops::Range;

use crate::Irq;

/// Numbers that say that there is nothing to handle, and so nothing to end (ARM IHI 0048B, 2.2.1;
/// ARM IHI 0069, 2.2).
const SPECIAL: Range<u32> = 1020..1024;

/// The interrupt in GICC_IAR. Above its number, in bits 12 to 10, is the CPU that has raised it, if
/// it is one that software raises (ARM IHI 0048B, 4.4.4).
pub fn by_v2(register: u32) -> Option<Irq> {
    by_v3(register & 0x3ff)
}

/// The interrupt in ICC_IAR1 (ARM IHI 0069, 12.2).
pub fn by_v3(register: u32) -> Option<Irq> {
    (!SPECIAL.contains(&register)).then_some(Irq(register))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_from_special_numbers() {
        for by in [by_v2, by_v3] {
            assert_eq!(by(27), Some(Irq(27)));
            assert_eq!(by(1019), Some(Irq(1019)));
            assert!((1020..1024).all(|special| by(special).is_none()));
        }
        assert_eq!(by_v3(8192), Some(Irq(8192)));
    }

    #[test]
    fn what_another_cpu_has_raised_is_an_interrupt() {
        assert!((0..8).all(|cpu| by_v2(cpu << 10 | 3) == Some(Irq(3))));
    }
}
