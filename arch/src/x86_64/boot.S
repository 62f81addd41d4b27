// From the PVH entry point to the first Rust function.
//
// The loader jumps to __pvh_entry in 32-bit protected mode without paging: EBX holds the physical
// address of hvm_start_info, CS, DS, ES and SS are flat, interrupts are off, nothing else is known,
// not even a stack (xen/docs/misc/pvh.pandoc). The image is linked at IMAGE_BASE, which is of no
// use until paging is on, so everything here is addressed by its distance from the label `here`,
// whose physical address is in EBP. docs/guide/boot-x86_64.md walks through this file.
//
// AT&T syntax: LLVM's Intel syntax has no differences of symbols in addresses.

.set START_INFO_MAGIC, 0x336ec578   // xen/include/public/arch-x86/hvm/start_info.h
.set START_INFO_SIZE, 56
.set START_INFO_COMMAND_LINE, 24    // physical address, 64 bits; 0 if there is none

.set PAGE, 4096
.set PRESENT, 1 << 0
.set WRITABLE, 1 << 1
.set NO_EXECUTE_HIGH, 1 << 31       // bit 63 of an entry, in its upper half
.set RECURSIVE_SLOT, 510            // mmu/tables.rs
.set PML4, 0xffffff7fbfdfe000       // where that slot shows the PML4

.set EFER, 0xc0000080               // Intel SDM volume 4, table 2-2
.set EFER_LME, 1 << 8
.set EFER_NXE, 1 << 11
.set CR0_PG, 1 << 31
.set CR0_WP, 1 << 16
.set CR0_NE, 1 << 5
.set CR0_ET, 1 << 4
.set CR0_MP, 1 << 1
.set CR0_PE, 1 << 0
.set CR4_PAE, 1 << 5
.set CR4_MCE, 1 << 6
.set CR4_UMIP, 1 << 11
.set CR4_SMEP, 1 << 20
.set CR4_SMAP, 1 << 21

.set CODE_SELECTOR, 8
.set DATA_SELECTOR, 16
.set TSS_SELECTOR, 24
.set CODE_SEGMENT, 0x00af9b000000ffff   // 64-bit; accessed, so that the CPU need not write it
.set DATA_SEGMENT, 0x00cf93000000ffff
.set TSS_SIZE, 104
.set GDT_SIZE, 5 * 8
.set IDT_SIZE, 128 * 16

.set COM1, 0x3f8
.set DEBUG_PORT, 0xe9

.set COMMAND_LINE_LIMIT, 4096       // how much of it is searched before Rust runs
.set FAILED, 1                      // exit status of a guest that could not boot

// XEN_ELFNOTE_PHYS32_ENTRY (18): where to jump to, physical (xen/include/public/elfnote.h).
.section .note.Xen, "a", @note
    .balign 4
    .long 4
    .long 4
    .long 18
    .asciz "Xen"
    .long __pvh_entry_phys

.section .boot, "ax", @progbits
.code32
.global __pvh_entry
__pvh_entry:
    cli
    cld
    cmpl $START_INFO_MAGIC, (%ebx)
    jne wrong_loader

    // Where are we? CALL tells, but needs a stack: the last word of start_info, given back at once.
    mov START_INFO_SIZE - 4(%ebx), %ecx
    lea START_INFO_SIZE(%ebx), %esp
    call here
here:
    pop %ebp
    mov %ecx, START_INFO_SIZE - 4(%ebx)

    // Everything from .bss on is about to be overwritten. start_info must not lie there; what it
    // points to is checked when it is read.
    lea START_INFO_SIZE(%ebx), %eax
    lea __bss_start - here(%ebp), %edx
    cmp %edx, %eax
    jbe 1f
    lea __image_end - here(%ebp), %edx
    cmp %edx, %ebx
    jae 1f
    lea start_info_in_image - here(%ebp), %esi
    jmp stop
1:
    // Nor did the loader check that there is memory up to the end of the image.
    lea __image_end - here - 4(%ebp), %edx
    mov %ebp, (%edx)
    lea too_little_memory - here(%ebp), %esi
    cmp (%edx), %ebp
    jne stop
    lea __stack_top - here(%ebp), %esp

    call check_processor
    call fill_tables

    // The base of the boot GDT is its physical address, which the identity map still reaches. So is
    // the target of the far jump into 64-bit code. Both are stored while nothing is protected yet.
    lea boot_gdt - here(%ebp), %eax
    mov %eax, boot_gdt_base - here(%ebp)
    lgdt boot_gdt_pointer - here(%ebp)
    lea long_mode - here(%ebp), %eax
    mov %eax, long_mode_pointer - here(%ebp)

    // Long mode, no-execute, and the image with its final permissions, all from here on. The stack,
    // unlike this code, is out of reach until the jump to the linked address. PAE, which is in CR4,
    // comes before LME, as the manual has it (Intel SDM volume 3, 10.8.5): QEMU 7.2 forgets to turn
    // the paging of a hypervisor on again when its guest exits with LME and without PAE.
    mov %edi, %cr4
    mov $EFER, %ecx
    rdmsr
    or $EFER_LME | EFER_NXE, %eax
    wrmsr
    lea __tables_start - here(%ebp), %eax
    mov %eax, %cr3
    mov $CR0_PG | CR0_WP | CR0_NE | CR0_ET | CR0_MP | CR0_PE, %eax
    mov %eax, %cr0
    ljmp *long_mode_pointer - here(%ebp)

// Stops with a message if the processor lacks something that cannot be done without. Returns the
// bits for CR4 in EDI.
check_processor:
    push %ebx
    mov $0x80000000, %eax
    cpuid
    xor %edx, %edx
    cmp $0x80000001, %eax
    jb 1f
    mov $0x80000001, %eax
    cpuid
1:  push %edx
    mov $1, %eax
    cpuid
    push %edx
    // Each record: which of the two words (0: leaf 1, 4: leaf 0x80000001), bit, name.
    lea required_features - here(%ebp), %esi
2:  movzbl (%esi), %eax
    cmp $0xff, %al
    je 3f
    movzbl 1(%esi), %ecx
    bt %ecx, (%esp, %eax)
    lea FEATURE_RECORD(%esi), %esi
    jc 2b
    lea 2 - FEATURE_RECORD(%esi), %edi
    lea feature_missing - here(%ebp), %esi
    call print
    mov %edi, %esi
    call print
    lea feature_advice - here(%ebp), %esi
    mov 8(%esp), %ebx
    jmp stop

3:  // Optional: machine checks (leaf 1, EDX bit 7, in the word at ESP), and of leaf 7 SMEP (EBX
    // bit 7), SMAP (EBX bit 20) and UMIP (ECX bit 2).
    mov $CR4_PAE, %edi
    testl $1 << 7, (%esp)
    jz 7f
    or $CR4_MCE, %edi
7:  xor %eax, %eax
    cpuid
    cmp $7, %eax
    jb 4f
    mov $7, %eax
    xor %ecx, %ecx
    cpuid
    bt $7, %ebx
    jnc 5f
    or $CR4_SMEP, %edi
5:  bt $20, %ebx
    jnc 6f
    or $CR4_SMAP, %edi
6:  bt $2, %ecx
    jnc 4f
    or $CR4_UMIP, %edi
4:  add $8, %esp
    pop %ebx
    ret

// Fills the tables at __tables_start: PML4, PDPT, page directories, page tables, identity page.
// Preserves EBX and EDI.
fill_tables:
    push %ebx
    push %edi
    lea __tables_start - here(%ebp), %edi
    mov %edi, %edx
    lea __tables_end - here(%ebp), %ecx
    sub %edi, %ecx
    shr $2, %ecx
    xor %eax, %eax
    rep stosl

    // PML4: the image at the top, the tables themselves in the recursive slot.
    lea PAGE + (PRESENT | WRITABLE)(%edx), %eax
    mov %eax, 511 * 8(%edx)
    lea (PRESENT | WRITABLE)(%edx), %eax
    mov %eax, RECURSIVE_SLOT * 8(%edx)
    movl $NO_EXECUTE_HIGH, RECURSIVE_SLOT * 8 + 4(%edx)

    // PDPT: the page directories, which follow it.
    mov $__boot_pdpt_index, %edi
    lea PAGE(%edx, %edi, 8), %edi
    lea 2 * PAGE + (PRESENT | WRITABLE)(%edx), %eax
    mov $__boot_directories, %ecx
    call fill_entries

    // Page directories, contiguous, so that they are indexed as one: the page tables, which follow.
    mov $__boot_directory_index, %edi
    lea 2 * PAGE(%edx, %edi, 8), %edi
    mov $__boot_page_tables, %ecx
    call fill_entries

    // Page tables, likewise: an entry for each page of each section, with its final permissions.
    mov $__boot_directories, %ecx
    shl $12, %ecx
    lea 2 * PAGE(%edx, %ecx), %edx
    mov $__boot_page_index, %ecx
    lea (%edx, %ecx, 8), %edx       // the entry of __image_start
    lea sections - here(%ebp), %esi
1:  lodsl                           // first page
    test %eax, %eax
    jz 3f
    lea (%eax, %ebp), %ecx
    lodsl                           // end
    lea (%eax, %ebp), %ebx
    lea __image_start - here(%ebp), %eax
    sub %ecx, %eax
    neg %eax
    shr $12, %eax
    lea (%edx, %eax, 8), %edi
    lodsl                           // permissions, low half
    or %eax, %ecx
    lodsl                           // permissions, high half
2:  mov %ecx, (%edi)
    mov %eax, 4(%edi)
    add $8, %edi
    add $PAGE, %ecx
    cmp %ebx, %ecx
    jb 2b
    jmp 1b

3:  // One page is PDPT, page directory and page table of the identity map at once: its entry 0
    // leads to itself, which serves addresses below 2 MiB, and .boot lies there. Its pages are
    // read-only: nothing is both writable and executable.
    lea __tables_end - here - PAGE(%ebp), %edi
    lea __tables_start - here(%ebp), %edx
    lea (PRESENT | WRITABLE)(%edi), %eax
    mov %eax, (%edx)
    mov %eax, (%edi)
    lea __pvh_entry - here(%ebp), %eax
    call identity_page
    lea boot_end - here - 1(%ebp), %eax
    call identity_page
    pop %edi
    pop %ebx
    ret

// Writes ECX entries from EDI on, for consecutive pages, the first of which EAX describes. Leaves
// EAX behind the last.
fill_entries:
    mov %eax, (%edi)
    add $8, %edi
    add $PAGE, %eax
    dec %ecx
    jnz fill_entries
    ret

// Maps the page of address EAX in the identity page at EDI.
identity_page:
    and $-PAGE, %eax
    mov %eax, %ecx
    shr $12, %ecx
    or $PRESENT, %eax
    mov %eax, (%edi, %ecx, 8)
    ret

wrong_loader:
    // No start_info, so no stack either: the first page of memory serves.
    mov $PAGE, %esp
    call 1f
1:  pop %ebp
    lea here - 1b(%ebp), %ebp
    lea not_pvh - here(%ebp), %esi
// Prints the text at ESI and ends the guest. Needs one word of stack, and in EBX the address of
// start_info, if there is one.
//
// The command line may say that there is a debug exit device, and at which port (power.rs): a word
// mayfly.exit=debug-exit:PORT, the first one here. Without it the processor halts for good. Xen
// switches a guest off when no processor of it can ever wake up again, as is so here.
stop:
    call print
    cmpl $START_INFO_MAGIC, (%ebx)
    jne halt
    cmpl $0, START_INFO_COMMAND_LINE + 4(%ebx)
    jne halt                        // out of reach
    mov START_INFO_COMMAND_LINE(%ebx), %esi
    test %esi, %esi
    jz halt
    lea COMMAND_LINE_LIMIT(%esi), %edx
1:  lea exit_argument - here(%ebp), %edi
    mov $EXIT_ARGUMENT_SIZE, %ecx
    repe cmpsb
    je 4f
    dec %esi                        // back to what differs: it may be the end of a word
2:  cmp %edx, %esi
    jae halt
    lodsb
    test %al, %al
    jz halt
    cmp $' ', %al
    jne 2b
    jmp 1b

4:  mov $10, %ecx                   // base
    xor %edx, %edx                  // port
    xor %eax, %eax
    cmpw $'0' | 'x' << 8, (%esi)
    jne 5f
    add $2, %esi
    mov $16, %ecx
5:  lodsb
    cmp $' ', %al
    jbe 7f                          // the end of the word, or of the line
    cmp $'9', %al
    jbe 6f
    or $0x20, %al                   // lower case
    sub $'a' - '9' - 1, %al         // so that a letter follows the digit 9
    cmp $'9', %al
    jbe halt
6:  sub $'0', %al
    cmp %ecx, %eax
    jae halt
    imul %ecx, %edx
    add %eax, %edx
    cmp $0xffff, %edx
    ja halt
    jmp 5b
7:  test %edx, %edx
    jz halt
    mov $FAILED, %al
    out %al, %dx
halt:
    hlt
    jmp halt

// Prints the text at ESI on COM1 if there is one. Waits a bounded time for each byte. Otherwise it goes
// to the debug port, which Xen and emulators may have, and which is nothing elsewhere.
print:
    mov $COM1 + 7, %edx             // scratch register: keeps what it is given
    mov $0x5a, %al
    out %al, %dx
    in %dx, %al
    cmp $0x5a, %al
    jne 5f
1:  lodsb
    test %al, %al
    jz 4f
    mov %al, %ah
    mov $COM1 + 5, %edx             // line status: bit 5, transmitter empty
    mov $100000, %ecx
2:  in %dx, %al
    test $0x20, %al
    jnz 3f
    dec %ecx
    jnz 2b
3:  mov %ah, %al
    mov $COM1, %edx
    out %al, %dx
    jmp 1b
4:  ret
5:  mov $DEBUG_PORT, %edx
6:  lodsb
    test %al, %al
    jz 4b
    out %al, %dx
    jmp 6b

.code64
long_mode:
    // Still at the physical address. Go to the linked one.
    mov $high, %rax
    jmp *%rax

.balign 8
boot_gdt:
    .quad 0, CODE_SEGMENT, DATA_SEGMENT
boot_gdt_pointer:
    .word 3 * 8 - 1
boot_gdt_base:
    .long 0
long_mode_pointer:
    .long 0
    .word CODE_SELECTOR

sections:
    .long __text_start - here, __text_end - here, PRESENT, 0
    .long __rodata_start - here, __rodata_end - here, PRESENT, NO_EXECUTE_HIGH
    .long __data_start - here, __bss_end - here, PRESENT | WRITABLE, NO_EXECUTE_HIGH
    .long __stack_bottom - here, __stack_top - here, PRESENT | WRITABLE, NO_EXECUTE_HIGH
    .long __fault_stack_bottom - here, __fault_stack_top - here, PRESENT | WRITABLE, NO_EXECUTE_HIGH
    .long 0

.set FEATURE_RECORD, 12
.macro feature word, bit, name
    .byte \word, \bit
9:  .ascii "\name"
    .zero FEATURE_RECORD - 2 - (. - 9b)
.endm
required_features:                  // Intel SDM volume 2, CPUID
    feature 0, 4, "TSC"
    feature 0, 5, "MSR"
    feature 0, 6, "PAE"
    feature 0, 9, "APIC"
    feature 4, 20, "NX"
    feature 4, 29, "long mode"
    .byte 0xff

exit_argument:
    .ascii "mayfly.exit=debug-exit:"
.set EXIT_ARGUMENT_SIZE, . - exit_argument

not_pvh:
    .asciz "mayfly: the loader passed no PVH start_info; use a PVH loader such as qemu -kernel\r\n"
too_little_memory:
    .asciz "mayfly: the image does not fit into memory; give the guest more\r\n"
start_info_in_image:
    .asciz "mayfly: the loader put start_info inside the image; use one that honours memory sizes in ELF\r\n"
feature_missing:
    .asciz "mayfly: this processor has no "
feature_advice:
    .asciz "; choose a 64-bit CPU model that has it\r\n"
boot_end:

.section .text.high, "ax", @progbits
high:
    // The identity map has done its work.
    movabs $PML4, %rax
    movq $0, (%rax)
    mov %cr3, %rax
    mov %rax, %cr3

    mov $__stack_top, %rsp
    mov $__bss_start, %rdi
    mov $__bss_end, %rcx
    sub %rdi, %rcx
    shr $3, %rcx
    xor %eax, %eax
    rep stosq

    // TSS: all faults switch to the fault stack, interrupt stack table entry 1. No I/O bitmap.
    mov $tss, %rax
    movq $__fault_stack_top, 36(%rax)
    movw $TSS_SIZE, 102(%rax)
    // Its descriptor, in which the base is spread over four fields.
    mov $gdt + TSS_SELECTOR, %rcx
    mov %ax, 2(%rcx)
    shr $16, %rax
    mov %al, 4(%rcx)
    mov %ah, 7(%rcx)
    shr $16, %rax
    mov %eax, 8(%rcx)

    // IDT: 32 exception stubs of 16 bytes, on the fault stack, then interrupt stubs of 8 bytes.
    mov $idt, %rdi
    mov $exception_stubs, %rax
    mov $1, %edx
    mov $32, %ecx
    mov $16, %esi
    call fill_gates
    mov $interrupt_stubs, %rax
    xor %edx, %edx
    mov $96, %ecx
    mov $8, %esi
    call fill_gates

    sub $16, %rsp
    movw $GDT_SIZE - 1, (%rsp)
    movq $gdt, 2(%rsp)
    lgdt (%rsp)
    movw $IDT_SIZE - 1, (%rsp)
    movq $idt, 2(%rsp)
    lidt (%rsp)
    add $16, %rsp
    mov $TSS_SELECTOR, %eax
    ltr %ax
    mov $DATA_SELECTOR, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    xor %eax, %eax
    mov %eax, %fs
    mov %eax, %gs

    mov %ebx, %edi                  // start_info
    xor %ebp, %ebp                  // end of the chain of frame pointers
    push %rbp
    jmp {start}

// Writes ECX gates from RDI on, for stubs of RSI bytes from RAX on, with interrupt stack EDX.
fill_gates:
    mov %ax, (%rdi)
    movw $CODE_SELECTOR, 2(%rdi)
    mov %dl, 4(%rdi)
    movb $0x8e, 5(%rdi)             // present, ring 0, interrupt gate
    mov %rax, %r8
    shr $16, %r8
    mov %r8w, 6(%rdi)
    shr $16, %r8
    mov %r8d, 8(%rdi)
    add $16, %rdi
    add %rsi, %rax
    dec %ecx
    jnz fill_gates
    ret

.section .data.boot, "aw", @progbits
.balign 8
gdt:
    .quad 0, CODE_SEGMENT, DATA_SEGMENT
    .quad 0x0000890000000000 + TSS_SIZE - 1, 0

.section .bss.boot, "aw", @nobits
.balign 16
idt:
    .zero IDT_SIZE
tss:
    .zero TSS_SIZE
