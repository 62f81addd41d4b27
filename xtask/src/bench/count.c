/* Counts the instructions that a guest executes: a plugin for QEMU's translator, API version 1
 * (QEMU 4.2 to 8.2; docs/devel/tcg-plugins.rst). The few declarations that it needs are repeated
 * here, because Debian ships no header.
 *
 * Arguments: out=FILE      where the counts go: a file of 64-bit numbers, mapped by us and read by
 *                          xtask: first the instructions so far, then the marks, 0 if not reached,
 *                          then the times of the marks, in nanoseconds of the host's monotonic clock;
 *                          xtask may write zeros there, to have them noted again
 *            mark=M:ADDR   may be repeated; in mark number M, note the count when an instruction of
 *                          that mark is first executed
 *
 * An iteration of a REP instruction counts as an instruction.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_info;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum { INLINE_ADD_U64 = 0 };
enum { CB_NO_REGS = 0 };

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
        void (*cb)(qemu_plugin_id_t id, struct qemu_plugin_tb *tb));
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *insn, int op, void *ptr,
        uint64_t imm);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn,
        void (*cb)(unsigned int vcpu, void *data), int flags, void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);

#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = 1;

enum { MARKS = 32, ADDRESSES = 4096 };

struct counts {
    uint64_t instructions;
    uint64_t marks[MARKS];
    uint64_t times[MARKS];
};

struct place {
    uint64_t address;
    uint64_t mark;
};

static struct counts *counts;
static struct place places[ADDRESSES];
static size_t place_count;

static void on_mark(unsigned int vcpu, void *data)
{
    uint64_t *mark = data;
    (void)vcpu;
    if (*mark == 0) {
        struct timespec now;
        *mark = counts->instructions;
        clock_gettime(CLOCK_MONOTONIC, &now);
        counts->times[mark - counts->marks] = now.tv_sec * UINT64_C(1000000000) + now.tv_nsec;
    }
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    (void)id;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        uint64_t address = qemu_plugin_insn_vaddr(insn);
        /* Before it is counted, so that a mark is the number of instructions before it. */
        for (size_t p = 0; p < place_count; p++) {
            if (places[p].address == address) {
                qemu_plugin_register_vcpu_insn_exec_cb(insn, on_mark, CB_NO_REGS,
                        &counts->marks[places[p].mark]);
            }
        }
        qemu_plugin_register_vcpu_insn_exec_inline(insn, INLINE_ADD_U64, &counts->instructions, 1);
    }
}

static bool map_output(const char *path)
{
    int file = open(path, O_RDWR | O_CREAT, 0644);
    if (file < 0 || ftruncate(file, sizeof(struct counts)) != 0) {
        return false;
    }
    void *mapped = mmap(NULL, sizeof(struct counts), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    counts = mapped == MAP_FAILED ? NULL : mapped;
    return counts != NULL;
}

static bool add_place(const char *text)
{
    char *rest;
    struct place place;
    place.mark = strtoull(text, &rest, 0);
    if (*rest != ':' || place.mark >= MARKS || place_count == ADDRESSES) {
        return false;
    }
    place.address = strtoull(rest + 1, &rest, 0);
    places[place_count++] = place;
    return *rest == '\0';
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info *info, int argc,
        char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++) {
        bool good = false;
        if (strncmp(argv[i], "out=", 4) == 0) {
            good = map_output(argv[i] + 4);
        } else if (strncmp(argv[i], "mark=", 5) == 0) {
            good = add_place(argv[i] + 5);
        }
        if (!good) {
            return -1;
        }
    }
    if (counts == NULL) {
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    return 0;
}
