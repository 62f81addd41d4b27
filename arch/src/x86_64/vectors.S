// Where the processor enters on an exception or interrupt.
//
// Exceptions come with the fault stack already switched to and go to `on_exception`, which does not
// return. Interrupts run on the interrupted stack, save what the C calling convention lets a
// function change, and return.

.section .text.vectors, "ax", @progbits

// Vectors 0..31, 16 bytes each. Those without an error code push a zero in its place.
.balign 16
.global exception_stubs
exception_stubs:
.set vector, 0
.rept 32
    .balign 16
    .if (vector == 8) || ((vector >= 10) && (vector <= 14)) || (vector == 17) || (vector == 21) || (vector == 29) || (vector == 30)
    .else
    push $0
    .endif
    push $vector
    jmp exception_common
    .set vector, vector + 1
.endr

// Vectors 32..127, 8 bytes each.
.balign 16
.global interrupt_stubs
interrupt_stubs:
.rept 96
    .balign 8
    push $vector
    jmp interrupt_common
    .set vector, vector + 1
.endr

// Stack: vector, error code, then what the processor pushed: RIP, CS, RFLAGS, RSP, SS.
exception_common:
    cld
    push %rax
    push %rcx
    push %rdx
    push %rbx
    push %rbp
    push %rsi
    push %rdi
    push %r8
    push %r9
    push %r10
    push %r11
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, %rdi
    // Frame pointers link this function to the interrupted one.
    mov 17 * 8(%rsp), %rax
    push %rax
    push %rbp
    mov %rsp, %rbp
    call {exception}
    ud2

// Stack: vector, then what the processor pushed, for which it has aligned RSP to 16.
interrupt_common:
    cld
    push %rax
    mov 16(%rsp), %rax            // RIP, where a function would have its return address
    push %rax
    push %rbp
    mov %rsp, %rbp
    push %rcx
    push %rdx
    push %rsi
    push %rdi
    push %r8
    push %r9
    push %r10
    push %r11
    sub $8, %rsp                  // at a call, RSP is a multiple of 16 (System V ABI, 3.2.2)
    mov 24(%rbp), %edi           // vector
    call {interrupt}
    add $8, %rsp
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rdi
    pop %rsi
    pop %rdx
    pop %rcx
    pop %rbp
    add $8, %rsp
    pop %rax
    add $8, %rsp
    iretq
