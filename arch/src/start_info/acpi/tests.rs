//! ACPI tables as QEMU's microvm lays them out, and damaged ones.

use std::vec::Vec;

use proptest::prelude::*;

use super::*;

const ROOT: u64 = 0x100;
const LIST: u64 = 0x200;
const FADT: u64 = 0x400;
const DSDT: u64 = 0x600;

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

impl Fake {
    fn put(&mut self, address: u64, bytes: &[u8]) {
        self.0[address as usize..][..bytes.len()].copy_from_slice(bytes);
    }

    fn table(&mut self, address: u64, signature: &[u8; 4], body: &[u8]) {
        self.put(address, signature);
        self.put(address + 4, &(HEADER_SIZE as u32 + body.len() as u32).to_le_bytes());
        self.put(address + HEADER_SIZE as u64, body);
    }

    /// Tables with this root revision and DSDT.
    fn new(revision: u8, dsdt: &[u8]) -> Self {
        let mut fake = Self(std::vec![0; 0x4000]);
        fake.put(ROOT, b"RSD PTR ");
        fake.put(ROOT + 15, &[revision]);
        let tables = [DSDT, FADT];
        if revision < 2 {
            fake.put(ROOT + 16, &(LIST as u32).to_le_bytes());
            fake.table(LIST, b"RSDT", &tables.map(|table| (table as u32).to_le_bytes()).concat());
        } else {
            fake.put(ROOT + 24, &LIST.to_le_bytes());
            fake.table(LIST, b"XSDT", &tables.map(u64::to_le_bytes).concat());
        }
        fake.table(FADT, b"FACP", &[0; 268 - HEADER_SIZE]);
        fake.put(FADT + 40, &(DSDT as u32).to_le_bytes());
        fake.put(FADT + 116 + 4, &0xfea0_0202_u64.to_le_bytes());
        fake.put(FADT + 128, &[0x42]);
        fake.put(FADT + 244 + 4, &0xfea0_0200_u64.to_le_bytes());
        fake.table(DSDT, b"DSDT", dsdt);
        fake
    }

    fn find(&self) -> Option<(Tables, Vec<Found>)> {
        let tables = Tables::find(self, PhysAddr(ROOT))?;
        let mut found = Vec::new();
        tables.scan(self, |item| found.push(item));
        Some((tables, found))
    }
}

/// A device as the byte code has it: name, then its resources.
fn device(base: u32, irq: u32) -> Vec<u8> {
    let mut bytes =
        Vec::from(*b"\x08_HID\x0dLNRO0005\0\x08_UID\x0a\x17\x08_CCA\x01\x08_CRS\x11\x1a\x0a\x17");
    bytes.extend([0x86, 9, 0, 1]);
    bytes.extend(base.to_le_bytes());
    bytes.extend(512_u32.to_le_bytes());
    bytes.extend([0x89, 6, 0, 1, 1]);
    bytes.extend(irq.to_le_bytes());
    bytes.extend([0x79, 0]);
    bytes
}

fn transport(base: u64, irq: u32) -> Found {
    let registers = PhysRange::new(PhysAddr(base), 512).unwrap();
    Found::Transport(VirtioMmio { registers, irq: crate::Irq(irq) })
}

fn microvm() -> Vec<u8> {
    let mut dsdt = Vec::new();
    for index in 0..24 {
        dsdt.extend(device(0xfeb0_0000 + index * 512, 24 + index));
    }
    dsdt.extend(b"\x08_S5_\x12\x07\x04\x0a\x05\0\0\0");
    dsdt
}

#[test]
fn microvm_is_understood() {
    for revision in [0, 2] {
        let (tables, found) = Fake::new(revision, &microvm()).find().unwrap();
        assert_eq!(tables.sleep_control, Some(PhysAddr(0xfea0_0200)));
        assert_eq!(tables.reset, Some((PhysAddr(0xfea0_0202), 0x42)));
        assert_eq!(found.len(), 25);
        for (index, &item) in (0..24).zip(&found) {
            assert_eq!(item, transport(0xfeb0_0000 + u64::from(index) * 512, 24 + index));
        }
        assert_eq!(found[24], Found::PowerOff(0x34));
    }
}

#[test]
fn what_leads_nowhere_is_nothing() {
    assert!(Tables::find(&Fake::new(2, &[]), PhysAddr(0)).is_none());
    assert!(Tables::find(&Fake::new(2, &[]), PhysAddr(u64::MAX)).is_none());
    let mut fake = Fake::new(2, &[]);
    fake.put(ROOT + 24, &u64::MAX.to_le_bytes());
    assert!(fake.find().is_none());
    // Resources that make no sense, or are cut off.
    for dsdt in [device(0xfeb0_0000, 48), device(0xfeb0_0000, 5)[..40].to_vec()] {
        assert_eq!(Fake::new(2, &dsdt).find().unwrap().1, []);
    }
}

proptest! {
    #[test]
    fn damage_never_panics(
        damage in prop::collection::vec((ROOT..0x800, any::<u8>()), 1..16),
        revision in 0..3_u8,
    ) {
        let mut fake = Fake::new(revision, &microvm());
        for (address, byte) in damage {
            fake.put(address, &[byte]);
        }
        let _ = fake.find();
    }
}
