@ Calls of whoever is above: hypervisor, firmware, semihosting host.
@
@ Here and not in Rust, because the numbers of these instructions differ between ARM and Thumb code,
@ and Rust is compiled to both: xtask turns what ships into Thumb code.

    .syntax unified
    .arm

@ r0: the function, and what comes back. As in a call, r4 and above are kept (ARM DEN 0028). The
@ instructions are spelt as numbers because the target does not name their extensions.
    .section .text.hypervisor_call, "ax"
    .global hypervisor_call
    .type hypervisor_call, %function
    .balign 4
hypervisor_call:
    .inst   0xe1400070                      @ hvc #0
    bx      lr
    .size hypervisor_call, . - hypervisor_call

    .section .text.firmware_call, "ax"
    .global firmware_call
    .type firmware_call, %function
    .balign 4
firmware_call:
    .inst   0xe1600070                      @ smc #0
    bx      lr
    .size firmware_call, . - firmware_call

@ r0: the operation, r1: its argument. From SVC mode, a supervisor call changes lr.
    .section .text.semihosting_call, "ax"
    .global semihosting_call
    .type semihosting_call, %function
    .balign 4
semihosting_call:
    push    {r4, lr}
    svc     #0x123456
    pop     {r4, pc}
    .size semihosting_call, . - semihosting_call

@ r0 to r3 and the first word of the stack: the arguments of a hypercall, which Xen takes in r0 to
@ r4; the second word: its number, for r12. Xen changes no other registers (xen/include/public/
@ arch-arm.h).
    .section .text.xen_call, "ax"
    .global xen_call
    .type xen_call, %function
    .balign 4
xen_call:
    push    {r4, lr}
    ldr     r4, [sp, #8]
    ldr     r12, [sp, #12]
    .inst   0xe140ea71                      @ hvc #0xea1
    pop     {r4, pc}
    .size xen_call, . - xen_call
