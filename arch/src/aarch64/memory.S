// memcpy, memmove and memset.
//
// The compiler's own copy byte by byte where source and destination are not aligned alike, because
// it is built for processors that may not allow anything else. This one does: RAM is mapped as
// normal memory from the first instruction of Rust on, and SCTLR_EL1.A is clear, so loads and
// stores may have any address (ARM DDI 0487 B2.9). Nothing may use them on a device's registers.
//
// x0: destination, returned; x1: source; x2: number of bytes. x3 is where the destination ends, x4
// where the source ends. The first and the last bytes are copied by accesses that may overlap,
// which spares a loop over the rest. All of a short copy is loaded before any of it is stored, so
// that it is right for memmove as well.

    .section .text.memcpy, "ax"
    .global memcpy
    .type memcpy, %function
    .balign 16
memcpy:
    add     x4, x1, x2
    add     x3, x0, x2
    cmp     x2, 16
    b.lo    .Lup_to_15
    cmp     x2, 32
    b.hi    .Lforwards

    // 16 to 32 bytes.
    ldp     x5, x6, [x1]
    ldp     x7, x8, [x4, -16]
    stp     x5, x6, [x0]
    stp     x7, x8, [x3, -16]
    ret

.Lup_to_15:
    tbz     x2, 3, .Lup_to_7
    ldr     x5, [x1]
    ldr     x6, [x4, -8]
    str     x5, [x0]
    str     x6, [x3, -8]
    ret
.Lup_to_7:
    tbz     x2, 2, .Lup_to_3
    ldr     w5, [x1]
    ldr     w6, [x4, -4]
    str     w5, [x0]
    str     w6, [x3, -4]
    ret
.Lup_to_3:
    cbz     x2, 1f
    // The first byte, the one in the middle and the last one, some of which are the same.
    lsr     x7, x2, 1
    ldrb    w5, [x1]
    ldrb    w6, [x1, x7]
    ldrb    w8, [x4, -1]
    strb    w5, [x0]
    strb    w6, [x0, x7]
    strb    w8, [x3, -1]
1:  ret

    // More than 32 bytes, in rounds of 32; the last one, of up to 32 bytes, ends where the copy
    // ends. It is loaded before anything is stored, because memmove may store over it.
.Lforwards:
    ldp     x9, x10, [x4, -32]
    ldp     x11, x12, [x4, -16]
    mov     x13, x0
    sub     x2, x2, 32
1:  ldp     x5, x6, [x1], 16
    ldp     x7, x8, [x1], 16
    stp     x5, x6, [x13], 16
    stp     x7, x8, [x13], 16
    subs    x2, x2, 32
    b.hi    1b
    stp     x9, x10, [x3, -32]
    stp     x11, x12, [x3, -16]
    ret
    .size memcpy, . - memcpy

    .section .text.memmove, "ax"
    .global memmove
    .type memmove, %function
    .balign 16
memmove:
    // Forwards is right unless the destination begins within the source.
    sub     x5, x0, x1
    cmp     x2, 32
    ccmp    x5, x2, 2, hi           // 32 bytes or fewer: as if it did not
    b.hs    memcpy

    // Backwards, in rounds of 32; the last one begins where the copy begins.
    add     x4, x1, x2
    add     x3, x0, x2
    ldp     x9, x10, [x1]
    ldp     x11, x12, [x1, 16]
    sub     x2, x2, 32
1:  ldp     x5, x6, [x4, -16]!
    ldp     x7, x8, [x4, -16]!
    stp     x5, x6, [x3, -16]!
    stp     x7, x8, [x3, -16]!
    subs    x2, x2, 32
    b.hi    1b
    stp     x9, x10, [x0]
    stp     x11, x12, [x0, 16]
    ret
    .size memmove, . - memmove

    .section .text.memset, "ax"
    .global memset
    .type memset, %function
    .balign 16
memset:
    // x5: the byte, eight times over.
    and     x5, x1, 0xff
    orr     x5, x5, x5, lsl 8
    orr     x5, x5, x5, lsl 16
    orr     x5, x5, x5, lsl 32
    add     x3, x0, x2
    cmp     x2, 16
    b.lo    .Lset_up_to_15
    mov     x4, x0
    sub     x2, x2, 16
    // Rounds of 32; then 16 or 32 bytes, and the last 16, which may overlap.
1:  subs    x2, x2, 32
    b.lo    2f
    stp     x5, x5, [x4]
    stp     x5, x5, [x4, 16]
    add     x4, x4, 32
    b       1b
2:  stp     x5, x5, [x4]
    tbz     x2, 4, 3f               // 16 or more are left of the 32
    stp     x5, x5, [x4, 16]
3:  stp     x5, x5, [x3, -16]
    ret

.Lset_up_to_15:
    tbz     x2, 3, 1f
    str     x5, [x0]
    str     x5, [x3, -8]
    ret
1:  tbz     x2, 2, 2f
    str     w5, [x0]
    str     w5, [x3, -4]
    ret
2:  cbz     x2, 3f
    lsr     x7, x2, 1
    strb    w5, [x0]
    strb    w5, [x0, x7]
    strb    w5, [x3, -1]
3:  ret
    .size memset, . - memset
