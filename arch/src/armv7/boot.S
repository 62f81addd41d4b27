// From the loader to Rust.
//
// The loader put the image at a physical address of its choice and jumps to its first byte with
// MMU and caches off, interrupts masked and r2 = physical address of the device tree (Linux,
// Documentation/arch/arm/booting.rst, which QEMU and Xen follow). Until the MMU is on, all memory
// is Strongly-ordered: no exclusives, no unaligned access, nothing cached.
//
// This section fits one page (the linker script asserts it), the first of the image, which is
// mapped twice for the moment at which the MMU goes on. Names in braces are constants of boot.rs;
// register lists stand in double braces because Rust formats this text.
//
//   r4      physical address of the device tree
//   r5      physical address of the image
//   r7      what makes a link address a physical one when added to it
//   r8, r9  counter at entry
//   r10     1 if the loader entered in Hyp mode
//   r11     how many early faults there were
//   r0 to r3, r6, r12 are for everyone

    .arch   armv7-a
    .arch_extension virt
    .arch_extension sec
    .syntax unified
    .arm

    // The physical address of a symbol.
    .macro physical register, symbol
    ldr     \register, =\symbol
    add     \register, \register, r7
    .endm

    .section .text.boot, "ax"
    .global _start
_start:
    .rept   8                               // zImage: room for an old loader's own header
    mov     r0, r0
    .endr
    b       entry
    .word   0x016f2818                      // offset 0x24: magic number
    .word   0                               // runs at any address
    .word   __file_size                     // end of the file

// ---- One CPU, in SVC mode ---------------------------------------------------------------------

entry:
    mov     r4, r2
    mov     r11, #0
    adr     r5, _start
    ldr     r7, =__image_start
    sub     r7, r5, r7
    // A CPU that comes second parks. PSCI keeps the others off until somebody asks for them, so a
    // plain flag is enough.
    physical r0, boot_claim
    ldr     r1, [r0]
    cmp     r1, #0
    bne     halt
    mov     r1, #1
    str     r1, [r0]

    mrs     r0, cpsr
    and     r0, r0, #{MODE_MASK}
    cmp     r0, #{MODE_HYP}
    mov     r10, #0
    bne     in_svc

    // Hyp mode offers nothing that a guest needs: give SVC mode the timer, the GIC and its own
    // identity, trap nothing, and leave for good.
    mov     r10, #1
    mov     r0, #0
    mcr     p15, 4, r0, c1, c1, 0           // HCR
    mcr     p15, 4, r0, c1, c1, 3           // HSTR
    mcrr    p15, 4, r0, r0, c14             // CNTVOFF
    ldr     r0, =0x33ff                     // HCPTR: bits that are always 1
    mcr     p15, 4, r0, c1, c1, 2
    mrc     p15, 4, r0, c1, c1, 1           // HDCR: keep how many event counters there are
    and     r0, r0, #0x1f
    mcr     p15, 4, r0, c1, c1, 1
    mov     r0, #3                          // CNTHCTL: PL1PCTEN, PL1PCEN
    mcr     p15, 4, r0, c14, c1, 0
    mrc     p15, 0, r0, c0, c0, 0           // MIDR
    mcr     p15, 4, r0, c0, c0, 0           // VPIDR
    mrc     p15, 0, r0, c0, c0, 5           // MPIDR
    mcr     p15, 4, r0, c0, c0, 5           // VMPIDR
    mrc     p15, 0, r0, c0, c1, 1           // ID_PFR1.GIC
    lsrs    r0, r0, #28
    beq     1f
    mrc     p15, 4, r0, c12, c9, 5          // ICC_HSRE: SRE, Enable
    orr     r0, r0, #(1 << 3) | (1 << 0)
    mcr     p15, 4, r0, c12, c9, 5
    isb
    mov     r0, #0
    mcr     p15, 4, r0, c12, c11, 0         // ICH_HCR
1:  mov     r0, #{CPSR_START}
    msr     spsr_cxsf, r0
    adr     r0, in_svc
    msr     elr_hyp, r0
    eret

in_svc:
    cpsid   aif, #{MODE_SVC}
    ldr     r0, ={SCTLR_OFF}
    mcr     p15, 0, r0, c1, c0, 0           // SCTLR
    physical r0, early_vectors
    mcr     p15, 0, r0, c12, c0, 0          // VBAR
    isb
    mrrc    p15, 1, r8, r9, c14             // CNTVCT

    // The tables below are those of the large physical address extension.
    physical r0, no_lpae_message
    mrc     p15, 0, r1, c0, c1, 4           // ID_MMFR0.VMSA
    and     r1, r1, #0xf
    cmp     r1, #5
    blo     early_report
    // Below 1 GiB are the image's link addresses, so a second mapping of it cannot be there.
    physical r0, low_memory_message
    lsrs    r1, r5, #30
    beq     early_report

// ---- The device tree must not lie where BSS, stacks and page tables will be --------------------

    // Only its magic number and size are read here; Rust judges the rest.
    physical r0, __file_end
    physical r3, __image_end
    cmp     r4, r0
    blo     tree_is_safe
    cmp     r4, r3
    bhs     tree_is_safe
    tst     r4, #7
    bne     tree_is_safe
    mcr     p15, 0, r4, c7, c10, 1          // DCCMVAC: the loader may have written through a cache
    dsb     sy
    ldr     r0, [r4]
    rev     r0, r0
    ldr     r1, ={TREE_MAGIC}
    cmp     r0, r1
    bne     tree_is_safe
    ldr     r6, [r4, #4]
    rev     r6, r6
    cmp     r6, #{TREE_MAX}
    bhi     tree_is_safe
    mov     r0, r4
    add     r1, r4, r6
    bl      clean_invalidate
    // Stale lines must not be written over the copy later.
    mov     r0, r3
    add     r1, r3, r6
    bl      clean_invalidate
    // Upwards, so the copy runs from the end to the start.
    add     r6, r6, #3
    bic     r6, r6, #3
    add     r0, r4, r6
    add     r1, r3, r6
    mov     r4, r3
2:  ldr     r2, [r0, #-4]!
    str     r2, [r1, #-4]!
    cmp     r1, r4
    bhi     2b
    mov     r0, r4
    add     r1, r4, r6
    bl      clean_invalidate
tree_is_safe:

// ---- First page tables, with their final permissions -------------------------------------------

    // Stale cache lines must neither be written over the tables nor be read instead of them:
    // invalidate before and after, because they are written uncached.
    bl      clean_invalidate_tables
    physical r0, __tables_start
    physical r1, __tables_spare
    add     r1, r1, #(2 * 4096)             // the second mapping borrows two spare tables
    bl      zero

    // The level-1 entry of the first GiB points to the one level-2 table of the image, that to the
    // level-3 tables, which are an array in memory, as the address space that they cover is.
    physical r0, __tables_start
    physical r2, __tables_l2
    bl      link_table
    physical r0, __tables_l2
    ldr     r1, =__image_start
    lsr     r1, r1, #21
    add     r0, r0, r1, lsl #3
    physical r2, __tables_l3
    ldr     r1, =__tables_l3_count
    bl      link_tables

    .macro  map start, end, descriptor
    ldr     r0, =\start
    ldr     r1, =\end
    ldr     r2, =(\descriptor) & 0xffffffff
    ldr     r3, =(\descriptor) >> 32
    bl      map_pages
    .endm
    map     __text_start, __text_end, {PAGE_TEXT}
    map     __rodata_start, __rodata_end, {PAGE_READ_ONLY}
    map     __data_start, __bss_end, {PAGE_READ_WRITE}
    map     __stack_bottom, __stack_top, {PAGE_READ_WRITE}
    map     __fault_stack_bottom, __fault_stack_top, {PAGE_READ_WRITE}
    map     __tables_start, __tables_end, {PAGE_READ_WRITE}

    // This page, where it is now.
    physical r0, __tables_start
    lsr     r1, r5, #30
    add     r0, r0, r1, lsl #3
    physical r2, __tables_spare
    bl      link_table
    physical r0, __tables_spare
    ubfx    r1, r5, #21, #9
    add     r0, r0, r1, lsl #3
    bl      link_table                      // r2 is the next spare table
    sub     r0, r2, #4096
    ubfx    r1, r5, #12, #9
    add     r0, r0, r1, lsl #3
    ldr     r2, =({PAGE_TEXT}) & 0xffffffff
    orr     r2, r2, r5
    ldr     r3, =({PAGE_TEXT}) >> 32
    strd    r2, r3, [r0]

    dsb     sy
    bl      clean_invalidate_tables

// ---- MMU, caches, branch prediction --------------------------------------------------------------

    ldr     r0, ={MAIR}
    mcr     p15, 0, r0, c10, c2, 0          // MAIR0
    mov     r1, #0
    mcr     p15, 0, r1, c10, c2, 1          // MAIR1
    ldr     r0, ={TTBCR}
    mcr     p15, 0, r0, c2, c0, 2           // TTBCR
    isb
    physical r0, __tables_start
    mcrr    p15, 0, r0, r1, c2              // TTBR0
    isb
    mcr     p15, 0, r1, c8, c7, 0           // TLBIALL
    mcr     p15, 0, r1, c7, c5, 0           // ICIALLU
    mcr     p15, 0, r1, c7, c5, 6           // BPIALL
    dsb     sy
    isb
    ldr     r1, =mapped
    ldr     r0, ={SCTLR_ON}
    mcr     p15, 0, r0, c1, c0, 0           // SCTLR
    isb
    bx      r1

mapped:
    // From here on addresses are link addresses. Take the second mapping of this page away.
    ldr     r0, =__tables_start
    lsr     r1, r5, #30
    add     r0, r0, r1, lsl #3
    mov     r2, #0
    mov     r3, #0
    strd    r2, r3, [r0]
    dsb     ishst
    mcr     p15, 0, r2, c8, c7, 0           // TLBIALL
    dsb     sy
    isb

// ---- What Rust takes for granted -----------------------------------------------------------------

    ldr     r0, =vectors
    mcr     p15, 0, r0, c12, c0, 0          // VBAR
    isb
    // Abort mode has the fault stack; everything else runs in SVC mode on the main stack.
    cps     #{MODE_ABORT}
    ldr     sp, =__fault_stack_top
    cps     #{MODE_SVC}
    ldr     sp, =__stack_top
    cpsie   a                               // asynchronous aborts are reported, not kept pending
    ldr     r0, =__bss_start
    ldr     r1, =__bss_end
    bl      zero
    mov     r0, r4
    mov     r1, r5
    mov     r2, r8
    mov     r3, r9
    sub     sp, sp, #8                      // the fifth argument, and alignment
    str     r10, [sp]
    mov     r11, #0                         // ends the chain of frame pointers
    mov     lr, #0
    b       {start}

// ---- Subroutines, without a stack ------------------------------------------------------------------

// Cleans and invalidates the cache lines of the tables that are filled here. Changes r0 to r2, r12.
clean_invalidate_tables:
    physical r0, __tables_start
    physical r1, __tables_spare
    add     r1, r1, #(2 * 4096)
// As above for r0..r1. Changes r0, r2, r12.
clean_invalidate:
    mrc     p15, 0, r2, c0, c0, 1           // CTR.DminLine: log2 of words
    ubfx    r2, r2, #16, #4
    mov     r12, #4
    lsl     r2, r12, r2
    sub     r12, r2, #1
    bic     r0, r0, r12
3:  mcr     p15, 0, r0, c7, c14, 1          // DCCIMVAC
    add     r0, r0, r2
    cmp     r0, r1
    blo     3b
    dsb     sy
    bx      lr

// Zeroes the whole pages r0..r1. Changes r0, r2, r3, r6, r12.
zero:
    mov     r2, #0
    mov     r3, #0
    mov     r6, #0
    mov     r12, #0
    b       5f
4:  stmia   r0!, {{r2, r3, r6, r12}}
    stmia   r0!, {{r2, r3, r6, r12}}
    stmia   r0!, {{r2, r3, r6, r12}}
    stmia   r0!, {{r2, r3, r6, r12}}
5:  cmp     r0, r1
    blo     4b
    bx      lr

// Writes r1 table descriptors at r0, for the tables from r2 on. Changes r0, r1, r3, r12, and
// leaves r2 behind the last table.
link_table:
    mov     r1, #1
link_tables:
    mov     r3, #0
6:  orr     r12, r2, #{TABLE}
    str     r12, [r0], #4
    str     r3, [r0], #4
    add     r2, r2, #4096
    subs    r1, r1, #1
    bne     6b
    bx      lr

// Maps the link addresses r0..r1, whole pages, with page descriptors like r2 (low) and r3 (high).
// Changes r0, r2, r6, r12.
map_pages:
    add     r6, r0, r7
    orr     r2, r2, r6
    ldr     r6, =__image_start
    lsr     r6, r6, #21                     // what the first level-3 table begins with
    sub     r6, r0, r6, lsl #21
    physical r12, __tables_l3
    add     r12, r12, r6, lsr #12 - 3
    b       8f
7:  strd    r2, r3, [r12], #8
    add     r2, r2, #4096
    add     r0, r0, #4096
8:  cmp     r0, r1
    blo     7b
    bx      lr

// ---- A fault before the tables are there -----------------------------------------------------------

    .balign 32
early_vectors:
    .rept   8
    b       early_fault
    .endr

// One line where QEMU's virt machine has its UART, then off. Where that is no UART, the store
// faults in its turn, and where nobody answers the call, that does.
early_fault:
    physical r0, fault_message
early_report:
    add     r11, r11, #1
    cmp     r11, #1
    bne     10f
    ldr     r1, ={UART_GUESS}
9:  ldrb    r2, [r0], #1
    cmp     r2, #0
    beq     10f
    str     r2, [r1]
    b       9b
10: cmp     r11, #2
    bhi     halt
    ldr     r0, ={PSCI_SYSTEM_OFF}
    cmp     r10, #0
    bne     11f
    hvc     #0
    b       halt
11: smc     #0
halt:
    wfi
    b       halt

fault_message:
    .asciz  "mayfly: fault before the MMU was on: r2 does not point to a device tree in memory\r\n"
no_lpae_message:
    .asciz  "mayfly: this processor lacks LPAE, which every ARMv7 processor that runs Xen has\r\n"
low_memory_message:
    .asciz  "mayfly: loaded below 1 GiB, where the image's own addresses are\r\n"
    .balign 4
    .ltorg

    .section .data.boot_claim, "aw"
    .balign 4
boot_claim:
    .word   0
