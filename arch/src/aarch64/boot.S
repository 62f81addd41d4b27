// From the loader to Rust.
//
// The loader put the image at a physical address of its choice and jumps to its first byte with
// the MMU off, interrupts masked and x0 = physical address of the device tree (Linux,
// Documentation/arch/arm64/booting.rst, which QEMU and Xen follow). Until the MMU is on, all memory
// is Device memory: no exclusives, no unaligned access, nothing cached.
//
// This section fits one page (the linker script asserts it), the first of the image, which is
// mapped twice for the moment at which the MMU goes on. Names in braces are constants of boot.rs.
//
//   x19  physical address of the device tree
//   x20  physical address of the image
//   x21  link address of the image
//   x22  counter at entry
//   x23  1 if the loader entered at EL2
//   x24  size of the device tree, when it has to be moved
//   x25  physical address of the first level-3 table
//   x28  1 once the early fault report has begun

    .section .text.boot, "ax"
    .global _start
_start:
    b       entry                   // code0
    .long   0                       // code1
    .quad   0x80000                 // text_offset: QEMU and Xen load at RAM base + this
    .quad   __image_size            // includes BSS, stacks, page tables, which the file does not
    .quad   0xa                     // flags: little-endian, 4 KiB pages, anywhere in memory
    .quad   0, 0, 0
    .ascii  "ARM\x64"               // offset 0x38
    .long   0

// ---- One CPU, at EL1 ------------------------------------------------------------------------

entry:
    mov     x19, x0
    mov     x28, xzr
    // A CPU that comes second parks. PSCI keeps the others off until somebody asks for them, so a
    // plain flag is enough.
    adrp    x1, boot_claim
    add     x1, x1, :lo12:boot_claim
    ldr     w2, [x1]
    cbnz    w2, halt
    mov     w2, #1
    str     w2, [x1]

    mrs     x0, CurrentEL
    cmp     x0, #(2 << 2)
    cset    x23, eq
    b.ne    at_el1

    // EL2 offers nothing that a guest needs: give EL1 the timer, the GIC and its own identity,
    // trap nothing, and leave for good (HCD: an hvc from EL1 is undefined from now on).
    adrp    x0, vectors
    add     x0, x0, :lo12:vectors
    msr     vbar_el2, x0
    isb
    ldr     x0, =((1 << 31) | (1 << 29))    // HCR_EL2: RW, HCD
    msr     hcr_el2, x0
    isb                                     // with E2H clear the registers below mean what follows
    mov     x0, #3                          // CNTHCTL_EL2: EL1PCTEN, EL1PCEN
    msr     cnthctl_el2, x0
    msr     cntvoff_el2, xzr
    mov     x0, #0x33ff                     // CPTR_EL2: RES1 bits only
    msr     cptr_el2, x0
    msr     hstr_el2, xzr
    mrs     x0, mdcr_el2
    and     x0, x0, #0x1f                   // HPMN: how many event counters there are, never 0
    msr     mdcr_el2, x0
    mrs     x0, midr_el1
    msr     vpidr_el2, x0
    mrs     x0, mpidr_el1
    msr     vmpidr_el2, x0
    mrs     x0, id_aa64pfr0_el1
    ubfx    x0, x0, #24, #4                 // ID_AA64PFR0_EL1.GIC
    cbz     x0, 1f
    mrs     x0, s3_4_c12_c9_5               // ICC_SRE_EL2: Enable, SRE
    mov     x1, #9
    orr     x0, x0, x1
    msr     s3_4_c12_c9_5, x0
    isb
    msr     s3_4_c12_c11_0, xzr             // ICH_HCR_EL2
1:  mov     x0, #0x3c5                      // SPSR_EL2: EL1h, DAIF masked
    msr     spsr_el2, x0
    adr     x0, at_el1
    msr     elr_el2, x0
    ldr     x0, ={SCTLR_OFF}
    msr     sctlr_el1, x0
    eret

at_el1:
    ldr     x0, ={SCTLR_OFF}
    msr     sctlr_el1, x0
    adrp    x0, vectors                     // physical: good for early_fault until the MMU is on
    add     x0, x0, :lo12:vectors
    msr     vbar_el1, x0
    isb
    mrs     x22, cntvct_el0
    adrp    x20, __image_start
    ldr     x21, =__image_start

// ---- The device tree must not lie where BSS, stacks and page tables will be -------------------

    // Only its magic number and size are read here; Rust judges the rest.
    adrp    x2, __file_end
    add     x2, x2, :lo12:__file_end
    adrp    x3, __image_end
    cmp     x19, x2
    ccmp    x19, x3, #2, hs                 // below the end of the file: flags as if >= x3
    b.hs    tree_is_safe
    tst     x19, #7
    b.ne    tree_is_safe
    dc      cvac, x19                       // the loader may have written it through a cache
    dsb     sy
    ldp     w0, w1, [x19]
    ldr     w4, ={TREE_MAGIC}
    rev     w0, w0
    cmp     w0, w4
    b.ne    tree_is_safe
    rev     w24, w1
    ldr     w4, ={TREE_MAX}
    cmp     w24, w4
    b.hi    tree_is_safe
    add     x24, x24, #7
    and     x24, x24, #~7
    mov     x0, x19
    add     x1, x19, x24
    bl      clean_invalidate
    // Stale lines must not be written over the copy later.
    mov     x0, x3
    add     x1, x3, x24
    bl      clean_invalidate
    // Upwards, so the copy runs from the end to the start.
    add     x0, x19, x24
    add     x1, x3, x24
    b       3f
2:  ldr     x2, [x0, #-8]!
    str     x2, [x1, #-8]!
3:  cmp     x1, x3
    b.hi    2b
    mov     x19, x3
    mov     x0, x19
    add     x1, x19, x24
    bl      clean_invalidate
tree_is_safe:

// ---- First page tables, with their final permissions ------------------------------------------

    // Stale cache lines must neither be written over the tables nor be read instead of them:
    // invalidate before and after, because they are written uncached.
    adrp    x0, __tables_start
    adrp    x1, __tables_spare
    add     x1, x1, #(2 * 4096)             // the identity mapping borrows two spare tables
    bl      clean_invalidate
    adrp    x0, __tables_start
    adrp    x1, __tables_spare
    add     x1, x1, #(2 * 4096)
    bl      zero

    // Level 1 points to the level-2 tables of the image, level 2 to those of level 3. Both kinds
    // are arrays in memory, as the address space that they cover is.
    adrp    x0, __tables_start
    ubfx    x1, x21, #30, #9
    add     x0, x0, x1, lsl #3
    adrp    x2, __tables_l2
    ldr     x1, =__tables_l2_count
    bl      link_tables
    adrp    x0, __tables_l2
    ubfx    x1, x21, #21, #9
    add     x0, x0, x1, lsl #3
    adrp    x2, __tables_l3
    mov     x25, x2
    ldr     x1, =__tables_l3_count
    bl      link_tables

    .macro map start, end, descriptor
    ldr     x0, =\start
    ldr     x1, =\end
    ldr     x2, =\descriptor
    bl      map_pages
    .endm
    map     __text_start, __text_end, {PAGE_TEXT}
    map     __rodata_start, __rodata_end, {PAGE_READ_ONLY}
    map     __data_start, __bss_end, {PAGE_READ_WRITE}
    map     __stack_bottom, __stack_top, {PAGE_READ_WRITE}
    map     __fault_stack_bottom, __fault_stack_top, {PAGE_READ_WRITE}
    map     __tables_start, __tables_end, {PAGE_READ_WRITE}

    // This page, where it is now. Physical addresses from 256 GiB up could collide with the
    // image's; the direct map would not reach them anyway.
    lsr     x0, x20, #38
    cbnz    x0, early_fault
    adrp    x0, __tables_start
    adrp    x1, __tables_spare
    lsr     x2, x20, #30
    orr     x3, x1, #{TABLE}
    str     x3, [x0, x2, lsl #3]
    add     x0, x1, #4096
    ubfx    x2, x20, #21, #9
    orr     x3, x0, #{TABLE}
    str     x3, [x1, x2, lsl #3]
    ubfx    x2, x20, #12, #9
    ldr     x3, ={PAGE_TEXT}
    orr     x3, x3, x20
    str     x3, [x0, x2, lsl #3]

    dsb     sy
    adrp    x0, __tables_start
    adrp    x1, __tables_spare
    add     x1, x1, #(2 * 4096)
    bl      clean_invalidate

// ---- MMU, caches, branch prediction -------------------------------------------------------------

    ldr     x0, ={MAIR}
    msr     mair_el1, x0
    ldr     x0, ={TCR}
    mrs     x1, id_aa64mmfr0_el1
    and     x1, x1, #0xf                    // PARange, at most 48 bits
    mov     x2, #5
    cmp     x1, x2
    csel    x1, x1, x2, lo
    bfi     x0, x1, #32, #3                 // TCR_EL1.IPS
    msr     tcr_el1, x0
    adrp    x0, __tables_start
    msr     ttbr0_el1, x0
    isb
    tlbi    vmalle1
    ic      iallu
    dsb     nsh
    isb
    ldr     x1, =mapped
    ldr     x0, ={SCTLR_ON}
    msr     sctlr_el1, x0
    isb
    br      x1

mapped:
    // From here on addresses are link addresses. Take the second mapping of this page away.
    adrp    x0, __tables_start
    lsr     x1, x20, #30
    str     xzr, [x0, x1, lsl #3]
    dsb     nshst
    tlbi    vmalle1
    dsb     nsh
    isb

// ---- What Rust takes for granted ----------------------------------------------------------------

    adrp    x0, vectors
    add     x0, x0, :lo12:vectors
    msr     vbar_el1, x0
    // Everything runs on SP_EL0, so that an exception finds SP_EL1, the fault stack, intact.
    adrp    x0, __fault_stack_top
    mov     sp, x0
    msr     spsel, #0
    adrp    x0, __stack_top
    mov     sp, x0
    mrs     x0, id_aa64mmfr1_el1
    ubfx    x0, x0, #20, #4                 // ID_AA64MMFR1_EL1.PAN
    cbz     x0, 4f
    .inst   0xd500419f                      // msr pan, #1
4:  isb
    msr     daifclr, #4                     // asynchronous aborts are reported, not kept pending
    adrp    x0, __bss_start
    adrp    x1, __bss_end
    bl      zero
    mov     x0, x19
    mov     x1, x20
    mov     x2, x22
    mov     x3, x23
    mov     x29, xzr
    mov     x30, xzr
    b       {start}

// ---- Subroutines, without a stack -----------------------------------------------------------------

// Cleans and invalidates the cache lines of x0..x1. Changes x0, x5, x6.
clean_invalidate:
    mrs     x5, ctr_el0
    ubfx    x5, x5, #16, #4                 // CTR_EL0.DminLine: log2 of words
    mov     x6, #4
    lsl     x5, x6, x5
    sub     x6, x5, #1
    bic     x0, x0, x6
4:  dc      civac, x0
    add     x0, x0, x5
    cmp     x0, x1
    b.lo    4b
    dsb     sy
    ret

// Zeroes the whole pages x0..x1. Changes x0.
zero:
    cmp     x0, x1
    b.hs    6f
5:  stp     xzr, xzr, [x0]
    stp     xzr, xzr, [x0, #16]
    stp     xzr, xzr, [x0, #32]
    stp     xzr, xzr, [x0, #48]
    add     x0, x0, #64
    cmp     x0, x1
    b.lo    5b
6:  ret

// Writes x1 table descriptors at x0, for the tables from x2 on. Changes x0 to x3.
link_tables:
    orr     x3, x2, #{TABLE}
    str     x3, [x0], #8
    add     x2, x2, #4096
    subs    x1, x1, #1
    b.ne    link_tables
    ret

// Maps the link addresses x0..x1, whole pages, with page descriptors like x2. Changes x0 to x4.
map_pages:
    sub     x3, x0, x21
    add     x3, x3, x20
    orr     x3, x3, x2
    and     x4, x21, #~0x1fffff             // what the first level-3 table begins with
    sub     x4, x0, x4
    lsr     x4, x4, #12
    add     x4, x25, x4, lsl #3
    b       8f
7:  str     x3, [x4], #8
    add     x3, x3, #4096
    add     x0, x0, #4096
8:  cmp     x0, x1
    b.lo    7b
    ret

// A fault with the MMU off: one line where QEMU's virt machine has its UART, then off. Where that
// is no UART, the store faults in its turn and x28 says so.
    .global early_fault
early_fault:
    cbnz    x28, 10f
    mov     x28, #1
    adr     x0, early_message
    ldr     x1, ={UART_GUESS}
9:  ldrb    w2, [x0], #1
    cbz     w2, 10f
    str     w2, [x1]
    b       9b
10: ldr     w0, ={PSCI_SYSTEM_OFF}
    cbnz    x23, 11f
    hvc     #0
    b       halt
11: smc     #0
halt:
    wfe
    b       halt

early_message:
    .asciz  "mayfly: fault before the MMU was on: too little memory behind the image, or a processor that it does not know\n"
    .balign 4
    .ltorg

    .section .data.boot_claim, "aw"
    .balign 4
boot_claim:
    .long   0
