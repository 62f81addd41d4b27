//! What the processor says of itself (CPUID; Intel SDM volume 2, AMD APM volume 3).

use core::arch::x86_64::{__cpuid_count, CpuidResult};

use crate::Hypervisor;

/// First leaf of the range that hypervisors use.
const HYPERVISOR_BASE: u32 = 0x4000_0000;

/// Reads a leaf, or `None` if the processor does not have it.
pub(super) fn leaf(number: u32, sub: u32) -> Option<CpuidResult> {
    (number <= __cpuid_count(range_of(number), 0).eax).then(|| __cpuid_count(number, sub))
}

/// The leaf that tells the last one of its range: of those of hypervisors there may be several.
const fn range_of(number: u32) -> u32 {
    match number & 0xf000_0000 {
        HYPERVISOR_BASE => number & !0xff,
        base => base,
    }
}

const _: () = assert!(range_of(0x4000_0101) == 0x4000_0100 && range_of(0x4000_0010) == 0x4000_0000);
const _: () = assert!(range_of(0x15) == 0 && range_of(0x8000_0008) == 0x8000_0000);

fn bit(value: Option<u32>, bit: u32) -> bool {
    value.is_some_and(|value| value & (1 << bit) != 0)
}

/// The RDRAND instruction.
pub(super) fn has_rdrand() -> bool {
    bit(leaf(1, 0).map(|leaf| leaf.ecx), 30)
}

/// The RDSEED instruction.
pub(super) fn has_rdseed() -> bool {
    bit(leaf(7, 0).map(|leaf| leaf.ebx), 18)
}

/// The x2APIC, which is reached by MSRs.
pub(super) fn has_x2apic() -> bool {
    bit(leaf(1, 0).map(|leaf| leaf.ecx), 21)
}

/// The deadline mode of the APIC timer.
pub(super) fn has_tsc_deadline() -> bool {
    bit(leaf(1, 0).map(|leaf| leaf.ecx), 24)
}

/// Instructions of the makers whose processors have SVM, AMD and Hygon, and not VMX.
pub(super) fn has_svm_instructions() -> bool {
    let maker = __cpuid_count(0, 0);
    // "AuthenticAMD", "HygonGenuine".
    matches!(&maker.ebx.to_le_bytes(), b"Auth" | b"Hygo")
}

/// SMEP: the kernel executes no pages of user mode.
pub(super) fn has_smep() -> bool {
    bit(leaf(7, 0).map(|leaf| leaf.ebx), 7)
}

/// Pages of 1 GiB.
pub(super) fn has_gigabyte_pages() -> bool {
    bit(leaf(0x8000_0001, 0).map(|leaf| leaf.edx), 26)
}

/// Number of bits in a physical address.
pub(super) fn physical_bits() -> u32 {
    // 36 is what every processor with PAE has.
    leaf(0x8000_0008, 0).map_or(36, |leaf| leaf.eax & 0xff).clamp(32, 52)
}

/// Who runs this guest, and where its CPUID leaves start.
pub(super) fn hypervisor() -> (Hypervisor, u32) {
    if !bit(leaf(1, 0).map(|leaf| leaf.ecx), 31) {
        return (Hypervisor::Unknown, HYPERVISOR_BASE);
    }
    // Xen moves its leaves up by a multiple of 0x100 when it also shows those of Hyper-V.
    let mut first = None;
    for base in (HYPERVISOR_BASE..HYPERVISOR_BASE + 0x1_0000).step_by(0x100) {
        let leaf = __cpuid_count(base, 0);
        let mut name = [0; 12];
        for (part, register) in name.chunks_exact_mut(4).zip([leaf.ebx, leaf.ecx, leaf.edx]) {
            part.copy_from_slice(&register.to_le_bytes());
        }
        let found = match &name {
            b"XenVMMXenVMM" => return (Hypervisor::Xen, base),
            b"KVMKVMKVM\0\0\0" => (Hypervisor::Kvm, base),
            b"TCGTCGTCGTCG" => return (Hypervisor::Tcg, base),
            b"Microsoft Hv" => continue,
            _ => break,
        };
        first.get_or_insert(found);
    }
    first.unwrap_or((Hypervisor::Unknown, HYPERVISOR_BASE))
}
