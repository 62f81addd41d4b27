//! System registers, barriers and calls, under the names that `arm/` expects.

use core::arch::asm;

use aarch64_cpu::{
    asm::barrier,
    registers::{
        CNTFRQ_EL0, CNTV_CTL_EL0, CNTV_CVAL_EL0, CNTVCT_EL0, ID_AA64PFR0_EL1, MPIDR_EL1, Readable,
        Writeable,
    },
};

use crate::{PAGE_SIZE, fdt::Conduit};

/// The virtual counter.
pub fn counter() -> u64 {
    // The counter may be read ahead of what comes before in the program.
    barrier::isb(barrier::SY);
    CNTVCT_EL0.get()
}

/// Ticks of the counter in a second.
pub fn counter_frequency() -> u32 {
    CNTFRQ_EL0.get() as u32
}

/// Makes the virtual timer interrupt once the counter has reached `compare`.
pub fn timer_start(compare: u64) {
    CNTV_CVAL_EL0.set(compare);
    CNTV_CTL_EL0.write(CNTV_CTL_EL0::ENABLE::SET);
    barrier::isb(barrier::SY);
}

/// Stops the virtual timer; its interrupt is not pending any more.
pub fn timer_stop() {
    CNTV_CTL_EL0.set(0);
    barrier::isb(barrier::SY);
}

/// Orders what an interrupt handler does after the acknowledgement.
pub fn interrupt_acknowledged() {
    barrier::dsb(barrier::SY);
}

/// Makes what was written to system registers take effect before the next instruction.
pub fn synchronize() {
    barrier::isb(barrier::SY);
}

/// Affinity of this CPU, as GICv3 registers hold it: Aff3 in bits 39 to 32, Aff2 to Aff0 in 23 to 0.
pub fn affinity() -> u64 {
    MPIDR_EL1.get() & 0x00ff_00ff_ffff
}

/// Whether the CPU interface of a GICv3 is in system registers.
pub fn has_gic_registers() -> bool {
    // Field GIC, which the crate does not name.
    ID_AA64PFR0_EL1.get() >> 24 & 0xf != 0
}

/// Makes the processor see translation table entries that have become valid.
pub fn table_entries_written() {
    barrier::dsb(barrier::ISHST);
    barrier::isb(barrier::SY);
}

/// Writes a register of a device by the one form of the instruction that a hypervisor can emulate:
/// the compiler may make of a loop one that changes its address, too, of which the processor does not
/// tell enough (without ISV in ESR_EL2).
///
/// # Safety
/// `register` is a register of a device, and it is sound to write `value` to it.
pub unsafe fn write_register(register: *mut u32, value: u32) {
    // SAFETY: what the caller promises.
    unsafe {
        asm!("str {:w}, [{}]", in(reg) value, in(reg) register, options(nostack, preserves_flags));
    }
}

/// Zeroes the page at `page`.
///
/// # Safety
/// `page` points to 4096 bytes of normal memory, aligned to 4096, that nobody else uses.
pub unsafe fn zero_page(page: *mut u64) {
    // DCZID_EL0: bit 4 forbids `dc zva`, bits 3 to 0 are the logarithm of its size in words.
    let id: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mrs {}, dczid_el0", out(reg) id, options(nomem, nostack, preserves_flags)) };
    if id & 1 << 4 != 0 {
        // SAFETY: what the caller promises.
        return unsafe { page.write_bytes(0, PAGE_SIZE / size_of::<u64>()) };
    }
    let block = 4usize << (id & 0xf);
    for offset in (0..PAGE_SIZE).step_by(block) {
        // SAFETY: the block, at most 2 KiB and aligned to its size, lies in the page.
        unsafe { asm!("dc zva, {}", in(reg) page.byte_add(offset), options(nostack)) };
    }
}

/// Makes the processor forget all translations after entries have become invalid.
pub fn invalidate_tlb() {
    barrier::dsb(barrier::ISHST);
    // SAFETY: forgetting translations has no effect but time: the tables hold them all.
    unsafe { asm!("tlbi vmalle1", options(nostack)) };
    barrier::dsb(barrier::ISH);
    barrier::isb(barrier::SY);
}

/// Waits for an interrupt, or a little while.
pub fn wait() {
    aarch64_cpu::asm::wfi();
}

/// Calls a function of PSCI that takes no arguments. Returns if the firmware refuses it.
pub fn call(conduit: Conduit, function: u32) {
    let function = u64::from(function);
    // SAFETY: the SMC calling convention (ARM DEN 0028) keeps memory and all registers from x18 on;
    // the functions that are called here switch off or start anew and change no memory.
    unsafe {
        match conduit {
            Conduit::Hvc => {
                asm!("hvc #0", inout("x0") function => _, clobber_abi("C"), options(nostack));
            }
            Conduit::Smc => {
                asm!("smc #0", inout("x0") function => _, clobber_abi("C"), options(nostack));
            }
        }
    }
}

/// Leaves by semihosting with `status`: SYS_EXIT_EXTENDED with ADP_Stopped_ApplicationExit (Arm
/// semihosting specification 2.0, 7.5). Without a host that answers, it is an undefined instruction.
pub fn semihosting_exit(status: u8) {
    const SYS_EXIT_EXTENDED: u64 = 0x20;
    const APPLICATION_EXIT: u64 = 0x2_0026;
    let block = [APPLICATION_EXIT, u64::from(status)];
    // SAFETY: the host reads the block and ends the machine.
    unsafe {
        asm!(
            "hlt #0xf000",
            inout("x0") SYS_EXIT_EXTENDED => _,
            in("x1") block.as_ptr(),
            options(nostack),
        );
    }
}
