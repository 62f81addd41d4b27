// Exception vectors.
//
// Rust runs at EL1 on SP_EL0, the main stack; an exception switches to SP_EL1, the fault stack. An
// interrupt goes back to the main stack at once. A fault stays, so that it can be reported when the
// main stack has overflowed into its guard page. An exception that comes while SP_EL1 is in use is
// a fault of the fault report itself.
//
// Offsets: Arm ARM D1.3.1.5. Names in braces are Rust functions or constants of exceptions.rs.

    .macro slot body
    .balign 128
    \body
    .endm

    .macro fault kind
    sub     sp, sp, #{FRAME_SIZE}
    stp     x0, x1, [sp]
    mov     x1, #\kind
    b       save_and_report
    .endm

    // The MMU is off only while boot.S runs, which has no stack.
    .macro nested
    mrs     x0, sctlr_el1
    tbz     x0, #0, early_fault
    adrp    x0, __fault_stack_top
    mov     sp, x0
    b       {nested_fault}
    .endm

    .section .text.vectors, "ax"
    .balign 2048
    .global vectors
vectors:
    slot    "fault {SYNCHRONOUS}"           // from EL1 on SP_EL0
    slot    "b interrupt_entry"
    slot    "fault {FIQ}"
    slot    "fault {SERROR}"
    slot    nested                          // from EL1 on SP_EL1
    slot    nested
    slot    nested
    slot    nested
    slot    nested                          // from EL0, where nothing runs
    slot    nested
    slot    nested
    slot    nested
    slot    nested
    slot    nested
    slot    nested
    slot    nested
    .balign 128

// Stores what struct Frame declares and calls Rust for good. x0 and x1 are stored, x1 = kind.
save_and_report:
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    stp     x18, x19, [sp, #144]
    stp     x20, x21, [sp, #160]
    stp     x22, x23, [sp, #176]
    stp     x24, x25, [sp, #192]
    stp     x26, x27, [sp, #208]
    stp     x28, x29, [sp, #224]
    mrs     x2, sp_el0
    stp     x30, x2, [sp, #240]
    mrs     x2, elr_el1
    mrs     x3, spsr_el1
    stp     x2, x3, [sp, #256]
    mrs     x2, esr_el1
    mrs     x3, far_el1
    stp     x2, x3, [sp, #272]
    mov     x0, sp
    b       {fault}

// Saves what a call may change, and a frame record, so that a backtrace crosses the interrupt.
// SPSR_EL1 stays as it is: interrupts do not nest, and a fault does not return.
interrupt_entry:
    msr     spsel, #0
    sub     sp, sp, #176
    stp     x0, x1, [sp, #16]
    stp     x2, x3, [sp, #32]
    stp     x4, x5, [sp, #48]
    stp     x6, x7, [sp, #64]
    stp     x8, x9, [sp, #80]
    stp     x10, x11, [sp, #96]
    stp     x12, x13, [sp, #112]
    stp     x14, x15, [sp, #128]
    stp     x16, x17, [sp, #144]
    stp     x18, x30, [sp, #160]
    mrs     x0, elr_el1
    stp     x29, x0, [sp]
    mov     x29, sp
    bl      {interrupt}
    ldr     x29, [sp]
    ldp     x0, x1, [sp, #16]
    ldp     x2, x3, [sp, #32]
    ldp     x4, x5, [sp, #48]
    ldp     x6, x7, [sp, #64]
    ldp     x8, x9, [sp, #80]
    ldp     x10, x11, [sp, #96]
    ldp     x12, x13, [sp, #112]
    ldp     x14, x15, [sp, #128]
    ldp     x16, x17, [sp, #144]
    ldp     x18, x30, [sp, #160]
    add     sp, sp, #176
    eret
