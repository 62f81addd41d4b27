// Exception vectors.
//
// Rust runs in SVC mode on the main stack, with only interrupts to be expected: those are handled
// in SVC mode too, on the same stack. Every other exception is a fault, reported in abort mode on
// the fault stack, which is intact when the main stack has overflowed into its guard page. A fault
// that comes from abort mode is a fault of the report itself.
//
// The order of the vectors and what is in LR: ARM DDI 0406C, B1.8. Names in braces are Rust
// functions or constants of exceptions.rs; register lists stand in double braces because Rust
// formats this text.

    .section .text.vectors, "ax"
    .balign 32
    .global vectors
vectors:
    b       .                               // reset: never taken through here
    b       undefined
    b       supervisor_call
    b       prefetch_abort
    b       data_abort
    b       .                               // Hyp trap: never taken through here
    b       interrupt_entry
    // A fast interrupt: the code follows.

    // Stores what struct Frame declares. \back is how far LR is ahead of the instruction that the
    // exception is about, \thumb the same in Thumb code. TPIDRPRW, which nobody else uses, keeps r0
    // for a moment.
    .macro  fault kind, back, thumb
    mcr     p15, 0, r0, c13, c0, 4          // TPIDRPRW
    mrs     r0, spsr
    tst     r0, #{THUMB}
    subeq   lr, lr, #\back
    subne   lr, lr, #\thumb
    and     r0, r0, #{MODE_MASK}
    cmp     r0, #{MODE_ABORT}
    moveq   r0, #\kind
    beq     nested
    mrc     p15, 0, r0, c13, c0, 4
    srsdb   sp!, #{MODE_ABORT}              // PC and CPSR
    cps     #{MODE_ABORT}
    sub     sp, sp, #8                      // SP and LR, see below
    push    {{r0-r12}}
    mov     r1, #\kind
    b       save_and_report
    .endm

fast_interrupt:
    fault   {FAST_INTERRUPT}, 4, 4
undefined:
    fault   {UNDEFINED}, 4, 2
supervisor_call:
    fault   {SUPERVISOR_CALL}, 4, 2
prefetch_abort:
    fault   {PREFETCH_ABORT}, 4, 4
data_abort:
    fault   {DATA_ABORT}, 8, 8

save_and_report:
    cps     #{MODE_SVC}
    mov     r2, sp
    mov     r3, lr
    cps     #{MODE_ABORT}
    strd    r2, r3, [sp, #13 * 4]
    mov     r0, sp
    mov     r11, #0
    bic     sp, sp, #7
    b       {fault}

nested:
    cps     #{MODE_ABORT}
    ldr     sp, =__fault_stack_top
    b       {nested_fault}
    .ltorg

// Saves what a call may change behind a frame record, so that a backtrace crosses the interrupt.
// Interrupts do not nest.
interrupt_entry:
    sub     lr, lr, #4
    srsdb   sp!, #{MODE_SVC}                // PC and CPSR
    cps     #{MODE_SVC}
    push    {{r11}}                         // with PC behind it: the frame record
    mov     r11, sp
    push    {{r0-r3, r12, lr}}
    bic     sp, sp, #7
    bl      {interrupt}
    sub     sp, r11, #6 * 4
    pop     {{r0-r3, r12, lr}}
    pop     {{r11}}
    clrex                                   // an exclusive access that was interrupted starts anew
    rfeia   sp!
