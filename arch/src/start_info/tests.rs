//! The start_info parser against honest, odd and damaged loaders.

use std::vec::Vec;

use proptest::prelude::*;

use super::*;

const LIMIT: PhysAddr = PhysAddr(512 << 30);
const FRAME: u64 = PAGE_SIZE as u64;

/// Where the fake loader puts things.
const INFO: u64 = 0x1000;
const MAP: u64 = 0x2000;
const LINE: u64 = 0x1_3ff0;
const MODULES: u64 = 0x1_5000;
const SIZE: usize = 0x2_0000;

/// The image of these tests: 1 MiB to 1.5 MiB.
fn image() -> PhysRange {
    range(0x10_0000, 0x18_0000)
}

fn range(start: u64, end: u64) -> PhysRange {
    PhysRange::between(PhysAddr(start), PhysAddr(end))
}

/// Memory from address 0 on, holding what the loader wrote.
#[derive(Clone)]
struct Fake(Vec<u8>);

impl PhysicalMemory for Fake {
    fn read(&self, address: PhysAddr, into: &mut [u8]) -> bool {
        let Ok(start) = usize::try_from(address.0) else { return false };
        let end = start.checked_add(into.len());
        let Some(bytes) = end.and_then(|end| self.0.get(start..end)) else { return false };
        into.copy_from_slice(bytes);
        true
    }
}

/// An entry of the memory map: start, end, type.
type Entry = (u64, u64, u32);

impl Fake {
    fn new(map: &[Entry], line: &[u8], modules: &[PhysRange]) -> Self {
        let mut fake = Self(vec![0; SIZE]);
        fake.put(INFO, &MAGIC.to_le_bytes());
        fake.put(INFO + 4, &1_u32.to_le_bytes());
        fake.put(INFO + 12, &(modules.len() as u32).to_le_bytes());
        fake.put(INFO + 16, &MODULES.to_le_bytes());
        fake.put(INFO + 24, &LINE.to_le_bytes());
        fake.put(INFO + 40, &MAP.to_le_bytes());
        fake.put(INFO + 48, &(map.len() as u32).to_le_bytes());
        for (place, &(start, end, kind)) in (MAP..).step_by(24).zip(map) {
            fake.put(place, &start.to_le_bytes());
            fake.put(place + 8, &end.wrapping_sub(start).to_le_bytes());
            fake.put(place + 16, &kind.to_le_bytes());
        }
        for (place, module) in (MODULES..).step_by(32).zip(modules) {
            fake.put(place, &module.start().0.to_le_bytes());
            fake.put(place + 8, &module.size().to_le_bytes());
        }
        fake.put(LINE, line);
        fake
    }

    /// As QEMU's firmware describes 128 MiB.
    fn qemu(line: &[u8]) -> Self {
        let map = [
            (0, 0x9_fc00, 1),
            (0x9_fc00, 0xa_0000, 2),
            (0xf_0000, 0x10_0000, 2),
            (0x10_0000, 0x7fe_0000, 1),
            (0x7fe_0000, 0x800_0000, 2),
        ];
        Self::new(&map, line, &[range(0x700_0123, 0x7fd_ffff)])
    }

    fn put(&mut self, address: u64, bytes: &[u8]) {
        self.0[address as usize..][..bytes.len()].copy_from_slice(bytes);
    }

    fn parse(&self) -> Result<StartInfo, StartInfoError> {
        let result = parse(self, PhysAddr(INFO), image(), LIMIT);
        if let Ok(info) = &result {
            check(info);
        }
        result
    }

    /// The error of a loader that is honest but for these bytes.
    fn error_with(address: u64, bytes: &[u8]) -> Option<StartInfoError> {
        let mut fake = Self::qemu(b"line\0");
        fake.put(address, bytes);
        fake.parse().err()
    }
}

/// What `BootInfo` promises of memory.
fn check(info: &StartInfo) {
    let mut last = FRAME;
    for &region in &info.memory {
        assert!(!region.is_empty() && last <= region.start().0 && region.end() <= LIMIT);
        assert!(region.start().0 % FRAME == 0 && region.end().0 % FRAME == 0);
        assert!(!region.overlaps(image()));
        assert!(info.command_line.is_empty() || !region.overlaps(info.command_line));
        assert!(info.module.is_none_or(|module| !region.overlaps(module)));
        last = region.end().0;
    }
    assert!(!info.memory.is_empty());
    assert!(info.memory_total >= info.memory.iter().map(|region| region.size()).sum());
    assert!(!info.command_line.overlaps(image()));
    assert!(info.module.is_none_or(|module| !module.overlaps(image()) && !module.is_empty()));
}

#[test]
fn what_qemu_passes_is_understood() {
    let info = Fake::qemu(b"hello world\0junk").parse().unwrap();
    assert_eq!(info.command_line, range(LINE, LINE + 11));
    assert_eq!(info.module, Some(range(0x700_0123, 0x7fd_ffff)));
    let expected =
        [range(0x1000, 0x1_3000), range(0x1_4000, 0x9_f000), range(0x18_0000, 0x700_0000)];
    assert_eq!(info.memory[..], expected);
    assert_eq!(info.memory_total, 0x9_f000 + 0x7fe_0000 - 0x10_0000);
    assert!(info.warnings.is_empty());
}

#[test]
fn damage_has_a_name() {
    let error = Fake::error_with;
    let beyond = (1_u64 << 60).to_le_bytes();
    let last = u64::MAX.to_le_bytes();
    let inside = image().start().0.to_le_bytes();
    assert_eq!(error(INFO, &[0; 4]), Some(StartInfoError::Magic(0)));
    assert_eq!(error(INFO + 4, &[0; 4]), Some(StartInfoError::Version));
    for (offset, what) in
        [(16, "the module list"), (24, "the command line"), (40, "the memory map")]
    {
        assert_eq!(error(INFO + offset, &beyond), Some(StartInfoError::Unreadable(what)));
        assert_eq!(error(INFO + offset, &last), Some(StartInfoError::Unreadable(what)));
    }
    let module = StartInfoError::InsideImage("the module (initrd)");
    assert_eq!(error(MODULES, &inside), Some(module));
    let map = StartInfoError::InsideImage("the memory map");
    assert_eq!(error(INFO + 40, &inside), Some(map));
    assert_eq!(error(MODULES, &beyond), Some(StartInfoError::OutsideMemory("the module (initrd)")));
    let entries = u32::MAX.to_le_bytes();
    assert_eq!(error(INFO + 48, &entries), Some(StartInfoError::TooManyEntries(u32::MAX)));
    assert_eq!(
        error(INFO + 48, &[0; 4]),
        Some(StartInfoError::OutsideMemory("the module (initrd)"))
    );
    assert_eq!(Fake::new(&[], b"\0", &[]).parse().err(), Some(StartInfoError::NoMemory));
    let small = Fake::new(&[(0x10_0000, 0x17_f000, 1)], b"\0", &[]).parse();
    assert_eq!(small.err(), Some(StartInfoError::NoMemory));
    for error in [StartInfoError::Magic(7), StartInfoError::NoMemory, map] {
        assert!(
            error.to_string().contains("use another loader") || error.to_string().contains("give")
        );
    }
}

#[test]
fn start_info_at_the_end_of_memory_is_no_start_info() {
    let fake = Fake::qemu(b"\0");
    for address in [SIZE as u64 - 8, u64::MAX, u64::MAX - 55] {
        let error = parse(&fake, PhysAddr(address), image(), LIMIT).err();
        assert_eq!(error, Some(StartInfoError::Unreadable("start_info")));
    }
}

#[test]
fn a_command_line_may_be_missing_empty_or_huge() {
    let mut fake = Fake::qemu(b"line\0");
    fake.put(INFO + 24, &[0; 8]);
    assert!(fake.parse().unwrap().command_line.is_empty());
    assert!(Fake::qemu(b"\0").parse().unwrap().command_line.is_empty());

    let mut fake = Fake::qemu(b"");
    fake.0.resize(0x4_0000, b'x');
    fake.0[LINE as usize..].fill(b'x');
    fake.put(INFO + 12, &[0; 4]);
    let info = fake.parse().unwrap();
    assert_eq!(info.command_line.size(), MAX_COMMAND_LINE);
    assert_eq!(info.warnings.len(), 1);
    // Where neither RAM nor firmware is.
    let place = 0x20_0000_u64;
    let mut fake = Fake::qemu(b"");
    fake.0.resize(0x30_0000, 0);
    fake.put(INFO + 24, &place.to_le_bytes());
    fake.put(place, b"line");
    assert!(fake.parse().is_ok());
    fake.put(MAP + 3 * 24 + 16, &[2]);
    fake.put(INFO + 12, &[0; 4]);
    let error = StartInfoError::OutsideMemory("the command line");
    assert_eq!(fake.parse().err(), Some(error));
    // Without its end in memory.
    let mut fake = Fake::qemu(b"");
    fake.0[LINE as usize..].fill(b'x');
    fake.put(INFO + 12, &[0; 4]);
    assert_eq!(fake.parse().err(), Some(StartInfoError::Unreadable("the command line")));
}

#[test]
fn ranges_that_wrap_are_left_out_or_kept_reserved() {
    let ram = (0x10_0000, 0x80_0000, 1);
    let wraps = (u64::MAX - 0xfff, 0x1000, 1);
    let info = Fake::new(&[ram, wraps], b"\0", &[]).parse().unwrap();
    assert_eq!(info.memory[..], [range(0x18_0000, 0x80_0000)]);
    assert_eq!(info.warnings.len(), 1);
    // Reserved from 4 MiB to the end of the address space and round again.
    let wraps = (0x40_0000, 0x1000, 2);
    let info = Fake::new(&[ram, wraps], b"\0", &[]).parse().unwrap();
    assert_eq!(info.memory[..], [range(0x18_0000, 0x40_0000)]);
    // RAM beyond what can be mapped.
    let info = Fake::new(&[(0x10_0000, u64::MAX, 1)], b"\0", &[]).parse().unwrap();
    assert_eq!(info.memory[..], [range(0x18_0000, LIMIT.0)]);
}

#[test]
fn of_too_many_regions_the_smallest_are_left_out() {
    let region = |index: u64| {
        let start = 0x100_0000 + index * 0x10_0000;
        (start, start + FRAME * (1 + index * 7 % 60), 1)
    };
    let map: Vec<Entry> = (0..2000).map(region).collect();
    let info = Fake::new(&map, b"\0", &[]).parse().unwrap();
    assert_eq!(info.memory.len(), MAX_REGIONS);
    assert!(info.memory.iter().all(|region| region.size() == FRAME * 60));
    assert_eq!(info.warnings.len(), 1);
}

/// Entries within the first 64 frames above 2 MiB, in quarters of a frame.
fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let entry = (0_u64..256, 0_u64..256, prop_oneof![3 => Just(1_u32), 1 => 0_u32..9]);
    let place = |quarter| 0x20_0000 + quarter * FRAME / 4;
    prop::collection::vec(entry, 0..40).prop_map(move |entries| {
        entries.into_iter().map(|(a, b, kind)| (place(a.min(b)), place(a.max(b)), kind)).collect()
    })
}

/// Whether a frame is free RAM, by the definition: some run of RAM entries covers it, and nothing
/// else touches it.
fn is_free(frame: u64, map: &[Entry]) -> bool {
    let covers =
        |at: u64| map.iter().any(|&(start, end, kind)| kind == 1 && start <= at && at < end);
    let touched = map.iter().any(|&(start, end, kind)| {
        kind != 1 && start < end && start < frame + FRAME && frame < end
    });
    !touched && (0..4).all(|quarter| covers(frame + quarter * FRAME / 4))
}

proptest! {
    #[test]
    fn free_frames_are_those_that_only_ram_entries_cover(map in entries()) {
        // Always some RAM elsewhere, to have a result.
        let mut map = map;
        map.push((0x80_0000, 0x81_0000, 1));
        let info = Fake::new(&map, b"\0", &[]).parse().unwrap();
        for frame in (0..64).map(|index| 0x20_0000 + index * FRAME) {
            let reported = info.memory.iter().any(|region| region.contains(PhysAddr(frame)));
            // Frames put together from several entries may be left out, but none may be invented.
            prop_assert!(!reported || is_free(frame, &map), "{frame:#x}");
            let whole = map.iter().any(|&(start, end, kind)| {
                kind == 1 && start <= frame && frame + FRAME <= end
            });
            prop_assert!(reported || !whole || !is_free(frame, &map), "{frame:#x}");
        }
    }

    #[test]
    fn damaged_bytes_never_panic(
        damage in prop::collection::vec((0..0x80_u64, any::<u8>()), 1..12),
        places in prop::collection::vec(prop_oneof![Just(INFO), Just(MAP), Just(MODULES)], 12),
    ) {
        let mut fake = Fake::qemu(b"line\0");
        for (&(offset, byte), place) in damage.iter().zip(places) {
            fake.put(place + offset, &[byte]);
        }
        let _ = fake.parse();
    }

    #[test]
    fn damaged_words_never_panic(
        damage in prop::collection::vec((0..16_u64, any::<u64>(), 0..64_u32), 1..6),
        places in prop::collection::vec(prop_oneof![Just(INFO), Just(MAP), Just(MODULES)], 6),
    ) {
        let mut fake = Fake::qemu(b"line\0");
        for (&(offset, word, shift), place) in damage.iter().zip(places) {
            fake.put(place + 8 * offset, &(word >> shift).to_le_bytes());
        }
        let _ = fake.parse();
    }

    #[test]
    fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..4096)) {
        let mut fake = Fake::qemu(b"line\0");
        let size = noise.len().min(0x1000 - 8);
        fake.put(INFO + 8, &noise[..size]);
        let _ = fake.parse();
    }
}
