@ memcpy, memmove and memset, and the names that the ARM run-time ABI has for them.
@
@ The compiler's own copy byte by byte where source and destination are not aligned alike, because
@ it is built for processors that may not allow anything else. This one does: RAM is mapped as
@ normal memory from the first instruction of Rust on, and SCTLR.A is clear, so LDR, STR, LDRH and
@ STRH may have any address (ARM DDI 0406C A3.2.1); LDRD, STRD, LDM and STM may not. Nothing may use
@ these functions on a device's registers.
@
@ r0: destination, returned; r1: source; r2: number of bytes. r3 is where the destination ends, ip
@ where the source ends. The first and the last bytes are copied by accesses that may overlap,
@ which spares a loop over the rest. All of a short copy is loaded before any of it is stored, so
@ that it is right for memmove as well.

    .syntax unified
    .arm

    .section .text.memcpy, "ax"
    .global memcpy, __aeabi_memcpy, __aeabi_memcpy4, __aeabi_memcpy8
    .type memcpy, %function
    .type __aeabi_memcpy, %function
    .type __aeabi_memcpy4, %function
    .type __aeabi_memcpy8, %function
    .balign 16
memcpy:
__aeabi_memcpy:
__aeabi_memcpy4:
__aeabi_memcpy8:
    add     ip, r1, r2
    add     r3, r0, r2
    cmp     r2, #8
    blo     .Lup_to_7
    cmp     r2, #16
    bhi     .Lforwards

    @ 8 to 16 bytes.
    push    {r4, r5, r6, r7}
    ldr     r4, [r1]
    ldr     r5, [r1, #4]
    ldr     r6, [ip, #-8]
    ldr     r7, [ip, #-4]
    str     r4, [r0]
    str     r5, [r0, #4]
    str     r6, [r3, #-8]
    str     r7, [r3, #-4]
    pop     {r4, r5, r6, r7}
    bx      lr

.Lup_to_7:
    tst     r2, #4
    beq     .Lup_to_3
    ldr     r2, [r1]
    ldr     ip, [ip, #-4]
    str     r2, [r0]
    str     ip, [r3, #-4]
    bx      lr
.Lup_to_3:
    cmp     r2, #0
    bxeq    lr
    @ The first byte, the one in the middle and the last one, some of which are the same.
    push    {r4, r5}
    lsr     r2, r2, #1
    ldrb    r4, [r1]
    ldrb    r5, [r1, r2]
    ldrb    ip, [ip, #-1]
    strb    r4, [r0]
    strb    r5, [r0, r2]
    strb    ip, [r3, #-1]
    pop     {r4, r5}
    bx      lr

    @ More than 16 bytes, in rounds of 16; the last one, of up to 16 bytes, ends where the copy
    @ ends. It is loaded before anything is stored, because memmove may store over it.
.Lforwards:
    push    {r0, r4, r5, r6, r7, r8, r9, r10}
    ldr     r7, [ip, #-16]
    ldr     r8, [ip, #-12]
    ldr     r9, [ip, #-8]
    ldr     r10, [ip, #-4]
    sub     r2, r2, #16
1:  ldr     r4, [r1], #4
    ldr     r5, [r1], #4
    ldr     r6, [r1], #4
    ldr     ip, [r1], #4
    str     r4, [r0], #4
    str     r5, [r0], #4
    str     r6, [r0], #4
    str     ip, [r0], #4
    subs    r2, r2, #16
    bhi     1b
    str     r7, [r3, #-16]
    str     r8, [r3, #-12]
    str     r9, [r3, #-8]
    str     r10, [r3, #-4]
    pop     {r0, r4, r5, r6, r7, r8, r9, r10}
    bx      lr
    .size memcpy, . - memcpy

    .section .text.memmove, "ax"
    .global memmove, __aeabi_memmove, __aeabi_memmove4, __aeabi_memmove8
    .type memmove, %function
    .type __aeabi_memmove, %function
    .type __aeabi_memmove4, %function
    .type __aeabi_memmove8, %function
    .balign 16
memmove:
__aeabi_memmove:
__aeabi_memmove4:
__aeabi_memmove8:
    @ Forwards is right unless the destination begins within the source, and for short copies.
    sub     ip, r0, r1
    cmp     r2, #16
    bls     memcpy
    cmp     ip, r2
    bhs     memcpy

    @ Backwards, in rounds of 16; the last one begins where the copy begins.
    push    {r4, r5, r6, r7, r8, r9, r10}
    add     ip, r1, r2
    add     r3, r0, r2
    ldr     r7, [r1]
    ldr     r8, [r1, #4]
    ldr     r9, [r1, #8]
    ldr     r10, [r1, #12]
    sub     r2, r2, #16
1:  ldr     r4, [ip, #-4]!
    ldr     r5, [ip, #-4]!
    ldr     r6, [ip, #-4]!
    ldr     r1, [ip, #-4]!
    str     r4, [r3, #-4]!
    str     r5, [r3, #-4]!
    str     r6, [r3, #-4]!
    str     r1, [r3, #-4]!
    subs    r2, r2, #16
    bhi     1b
    str     r7, [r0]
    str     r8, [r0, #4]
    str     r9, [r0, #8]
    str     r10, [r0, #12]
    pop     {r4, r5, r6, r7, r8, r9, r10}
    bx      lr
    .size memmove, . - memmove

    .section .text.memset, "ax"
    .global memset, __aeabi_memset, __aeabi_memset4, __aeabi_memset8
    .global __aeabi_memclr, __aeabi_memclr4, __aeabi_memclr8
    .type memset, %function
    .type __aeabi_memset, %function
    .type __aeabi_memset4, %function
    .type __aeabi_memset8, %function
    .type __aeabi_memclr, %function
    .type __aeabi_memclr4, %function
    .type __aeabi_memclr8, %function
    .balign 16
__aeabi_memclr:
__aeabi_memclr4:
__aeabi_memclr8:
    mov     r2, r1
    mov     r1, #0
    b       memset
    @ The ABI's own has size and byte the other way round.
__aeabi_memset:
__aeabi_memset4:
__aeabi_memset8:
    mov     r3, r1
    mov     r1, r2
    mov     r2, r3
memset:
    @ r1: the byte, four times over.
    and     r1, r1, #0xff
    orr     r1, r1, r1, lsl #8
    orr     r1, r1, r1, lsl #16
    add     r3, r0, r2
    cmp     r2, #4
    blo     .Lset_up_to_3
    mov     ip, r0
    sub     r2, r2, #4
    @ Rounds of 16, then of 4; the last 4 bytes may overlap what came before.
1:  subs    r2, r2, #16
    blo     2f
    str     r1, [ip], #4
    str     r1, [ip], #4
    str     r1, [ip], #4
    str     r1, [ip], #4
    b       1b
2:  adds    r2, r2, #16
3:  beq     4f
    str     r1, [ip], #4
    subs    r2, r2, #4
    bhi     3b
4:  str     r1, [r3, #-4]
    bx      lr

.Lset_up_to_3:
    cmp     r2, #0
    bxeq    lr
    lsr     r2, r2, #1
    strb    r1, [r0]
    strb    r1, [r0, r2]
    strb    r1, [r3, #-1]
    bx      lr
    .size memset, . - memset
