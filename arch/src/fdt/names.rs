//! The properties of a node, found by name.

use core::array;

/// The properties that discovery looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    AddressCells,
    BootArguments,
    ClockFrequency,
    Compatible,
    DeviceType,
    InitrdEnd,
    InitrdStart,
    InterruptCells,
    Interrupts,
    KaslrSeed,
    Method,
    Ranges,
    Reg,
    RngSeed,
    SizeCells,
    Status,
    StdoutPath,
    /// Any other.
    Other,
}

impl Name {
    fn of(name: &[u8]) -> Self {
        match name {
            b"#address-cells" => Self::AddressCells,
            b"#interrupt-cells" => Self::InterruptCells,
            b"#size-cells" => Self::SizeCells,
            b"bootargs" => Self::BootArguments,
            b"clock-frequency" => Self::ClockFrequency,
            b"compatible" => Self::Compatible,
            b"device_type" => Self::DeviceType,
            b"interrupts" => Self::Interrupts,
            b"kaslr-seed" => Self::KaslrSeed,
            b"linux,initrd-end" => Self::InitrdEnd,
            b"linux,initrd-start" => Self::InitrdStart,
            b"method" => Self::Method,
            b"ranges" => Self::Ranges,
            b"reg" => Self::Reg,
            b"rng-seed" => Self::RngSeed,
            b"status" => Self::Status,
            b"stdout-path" => Self::StdoutPath,
            _ => Self::Other,
        }
    }
}

/// The values of a node's properties, by name.
#[derive(Default)]
pub(super) struct Properties([Option<&'static [u8]>; Name::Other as usize + 1]);

impl Properties {
    /// The value; `None` if the node does not have the property.
    pub fn find(&self, name: Name) -> Option<&'static [u8]> {
        self.0.get(name as usize).copied().flatten()
    }

    /// The value; empty if the node does not have the property.
    pub fn get(&self, name: Name) -> &'static [u8] {
        self.find(name).unwrap_or(b"")
    }

    /// Records a property; of several with one name the last.
    pub fn set(&mut self, name: Name, value: &'static [u8]) {
        if let Some(place) = self.0.get_mut(name as usize) {
            *place = Some(value);
        }
    }
}

/// Which name starts at which offset of the strings block. A tree repeats few names many times,
/// and this finds them again without going through their letters.
pub(super) struct NameCache([(u32, Name); 32]);

impl NameCache {
    pub fn new() -> Self {
        // None of these offsets has the place that it is in, so that none is found there.
        Self(array::from_fn(|place| (place as u32 + 1, Name::Other)))
    }

    /// The name at `offset`; `None` if that is outside of the block.
    pub fn name_at(&mut self, offset: u32, strings: &[u8]) -> Option<Name> {
        let (known, name) = self.0.get_mut(offset as usize % 32)?;
        if *known != offset {
            let start = strings.get(offset as usize..)?;
            let length = start.iter().position(|&byte| byte == 0)?;
            (*known, *name) = (offset, Name::of(start.get(..length)?));
        }
        Some(*name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_again_and_none_lies_outside_of_the_block() {
        let strings = b"reg\0status\0open";
        let mut names = NameCache::new();
        for _ in 0..2 {
            assert_eq!(names.name_at(0, strings), Some(Name::Reg));
            assert_eq!(names.name_at(4, strings), Some(Name::Status));
            assert_eq!(names.name_at(6, strings), Some(Name::Other));
            assert_eq!(names.name_at(11, strings), None);
        }
        for outside in (15..100).chain(u32::MAX - 100..=u32::MAX) {
            assert_eq!(names.name_at(outside, strings), None, "{outside}");
        }
    }
}
