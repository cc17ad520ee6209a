/* The 65816 and the SNES bus in C99: exact CPU cycles and master clocks, undo log of writes, uninitialized reads.
 *
 * The plain-Python twin (addressing.py, cpu.py, bus.py, ports.py) says the same slowly and readably; tests hold both to the same
 * vectors and to each other. Facts that are data come from there: the memory map, the fill of undeclared memory, the items of a
 * start state. No Python header is needed: ctypes loads this file compiled, and a module's empty init stands at the end.
 *
 * Time `t` is one number: CPU cycles in the high 32 bits, and in the low ones what the clock took beyond 6 per cycle, in units
 * of 2 master clocks. Memory is 2,048 pages of 8 KB. Each byte has a shadow byte of flags; an access whose flags are not already
 * set takes the slow path, where registers, logging and contracts live. So the fast path is one test and one load.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O2", "no-gcse", "no-tree-pre") /* as GCC's manual advises for computed goto; halves the time to compile */
#endif
#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif
#if defined(__GNUC__)
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define SLOW __attribute__((noinline, cold))
#else
#define LIKELY(x) (x)
#define SLOW
#endif

enum { PAGE = 0x2000, PAGES = 2048, IO_LOG_LIMIT = 1 << 16, BUDGET_LIMIT = 1000000000 };
enum { OPEN_BUS, RAM, ROM, IO_PORTS };
enum { CDL_CODE = 1, CDL_DATA = 2, CDL_X8 = 16, CDL_M8 = 32 }; /* the flags of Mesen's code/data logs */
enum { DEFINED = 1, WRITTEN = 2, ALLOWED = 4, COMPARED = 8, ORIGINAL = 16, INPUT = 32, NOTED_A = 64, NOTED_B = 128 };
enum { RETURN, STP, WAI, BRK, COP, BUDGET, WRITE, EMULATION, WILD, NO_MEMORY };
enum { UNDEFINED = 0x10000 }; /* in Undo.old */
enum { WRAM = 0, VRAM = 0x40000, CGRAM = 0x50000, OAM = 0x50200, PORTS = 0x50000 };
#define IDLE ((uint64_t)1 << 32)

typedef struct { uint16_t a, x, y, s, d, pc; uint8_t db, pb, p, e; } Regs;
typedef struct { uint8_t *mem, *shadow; uint64_t cost; uint32_t kind, base; } Page;
typedef struct { uint32_t offset, old; } Undo; /* old: the byte before; of an undefined one what lies there, too, in bits 8-15 */
typedef struct { uint32_t *at, n, cap; } List;
typedef struct { uint64_t t, v; } Timed;
typedef struct {
    uint32_t vmain, vram_at, vlatch, vlatch_at, oam_at, oam_latch, cg_at, cg_flip, cg_latch, wm_at;
    uint32_t m7_a, m7_b, m7_latch, h_latch, v_latch, h_flip, v_flip;
    uint32_t product, quotient, shift, busy, divides, seeded;
    uint32_t console, wakes, irq, apu, pad, pad_shift; /* of a booted machine only */
    uint64_t alu_at, nmi_seen;
} Ports;

typedef struct Machine {
    Page page[PAGES];
    uint32_t run_start[PAGES], run_length[PAGES]; /* pages that follow one another in ROM and bank */
    uint8_t *arena, *shadow, *rom, *cdl; /* cdl: how each ROM byte was used, when `traced` is 2 */
    uint32_t arena_size, rom_size;
    uint8_t all[PAGE], none[PAGE], no_page[PAGE];
    Undo *undo;
    uint32_t n_undo, undo_cap;
    List noted, io, bus, changed, filled; /* filled: (offset, byte before) of undefined memory this state gave a value */
    uint64_t fill, phase; /* what undefined memory holds in this state (0: what lies there); clocks since the frame began */
    uint32_t io_writes, early, fast, start_fast, traced, out_of_memory, mdr, base;
    int64_t violation;
    uint64_t stall, limit, budget;
    Ports ports;
    uint32_t sentinel, traps, stop, instructions;
    uint64_t t;
} Machine;

static uint64_t access_cost(uint32_t address, uint32_t fast) {
    uint64_t extra;
    if (address & 0x408000) extra = (address & 0x800000) && fast ? 0 : 1;
    else if ((address + 0x6000) & 0x4000) extra = 1;
    else extra = ((address - 0x4000) & 0x7E00) ? 0 : 3;
    return IDLE + extra;
}

static void push_list(Machine *m, List *list, uint32_t value) {
    if (list->n == list->cap) {
        uint32_t cap = list->cap ? list->cap * 2 : 256;
        uint32_t *at = realloc(list->at, cap * sizeof *at);
        if (!at) { m->out_of_memory = 1; return; }
        list->at = at, list->cap = cap;
    }
    list->at[list->n++] = value;
}

static uint64_t mix(uint64_t value) {
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9u;
    value = (value ^ value >> 27) * 0x94D049BB133111EBu;
    return value ^ value >> 31;
}

/* What a byte that nothing defined holds: half of the words are the state's own (low 16 bits of fill), half are noise. */
static uint8_t fill_byte(uint64_t fill, uint32_t offset) {
    uint32_t place = offset + (fill >> 16 & 1), shift = (place & 1) * 8;
    uint64_t bits = mix((fill >> 32) + (place >> 1) + 1);
    return (uint8_t)(bits & 1 ? fill >> shift : bits >> (16 + shift));
}

static void give_value(Machine *m, uint32_t offset) {
    if (!m->fill) return;
    push_list(m, &m->filled, offset), push_list(m, &m->filled, m->arena[offset]);
    m->arena[offset] = fill_byte(m->fill, offset);
}

/* A byte without the machine noticing. */
static uint8_t peek(const Machine *m, uint32_t offset) {
    return m->fill && !(m->shadow[offset] & DEFINED) ? fill_byte(m->fill, offset) : m->arena[offset];
}

static void note(Machine *m, uint32_t offset) {
    if (m->shadow[offset] & DEFINED) return;
    give_value(m, offset);
    m->shadow[offset] |= DEFINED;
    push_list(m, &m->noted, offset);
}

static uint8_t get(Machine *m, uint32_t offset) {
    note(m, offset);
    return m->arena[offset];
}

static void put(Machine *m, uint32_t offset, uint8_t value) {
    uint8_t flags = m->shadow[offset];
    if (!(flags & WRITTEN)) {
        if (m->n_undo == m->undo_cap) {
            uint32_t cap = m->undo_cap ? m->undo_cap * 2 : 256;
            Undo *undo = realloc(m->undo, cap * sizeof *undo);
            if (!undo) { m->out_of_memory = 1, m->limit = 0; return; }
            m->undo = undo, m->undo_cap = cap;
        }
        uint32_t old = m->arena[offset];
        if (m->fill && !(flags & DEFINED)) old = UNDEFINED | old << 8 | fill_byte(m->fill, offset);
        m->undo[m->n_undo].offset = offset, m->undo[m->n_undo++].old = old;
        m->shadow[offset] = flags | WRITTEN | DEFINED;
        if (!(flags & ALLOWED) && m->violation < 0) m->violation = offset, m->limit = 0;
    }
    m->arena[offset] = value;
}

static void set_limit(Machine *m) {
    uint64_t gone = m->stall / 6;
    m->limit = m->violation >= 0 || m->out_of_memory || gone >= m->budget ? 0 : (m->budget - gone) << 32;
}

/* Page costs in the FastROM half change with $420D. */
static void set_speed(Machine *m, uint32_t fast) {
    m->fast = fast;
    for (uint32_t page = PAGES / 2; page < PAGES; page++) m->page[page].cost = access_cost(page * PAGE, fast);
}

static void log_access(Machine *m, uint32_t address, uint8_t value, uint64_t t, uint32_t writes) {
    push_list(m, &m->bus, (uint32_t)(t >> 32) << 1 | writes);
    push_list(m, &m->bus, address << 8 | value);
}

#include "cpu_ports.h"

/* --- the slow path: flags missing, registers, open bus, page borders, traced runs --------------------------------------- */

static SLOW Timed slow_read(Machine *m, uint32_t address, uint64_t t, uint32_t mdr) {
    Page *page = &m->page[address >> 13];
    uint32_t low = address & 0x1FFF;
    Timed out;
    switch (page->kind) {
    case RAM: out.v = get(m, page->base + low); break;
    case ROM: out.v = m->rom[page->base + low]; if (m->cdl) m->cdl[page->base + low] |= CDL_DATA; break;
    case IO_PORTS: m->mdr = mdr; out.v = port_read(m, address & 0xFFFF, t); break;
    default: out.v = mdr & 0xFF;
    }
    if (m->traced == 1) log_access(m, address, (uint8_t)out.v, t, 0);
    out.t = t + access_cost(address, m->fast);
    return out;
}

static SLOW uint64_t slow_write(Machine *m, uint32_t address, uint32_t value, uint64_t t) {
    Page *page = &m->page[address >> 13];
    uint64_t cost = access_cost(address, m->fast);
    if (page->kind == RAM) put(m, page->base + (address & 0x1FFF), (uint8_t)value);
    else if (page->kind == IO_PORTS) m->mdr = value & 0xFF, port_write(m, address & 0xFFFF, (uint8_t)value, t);
    if (m->traced == 1) log_access(m, address, (uint8_t)value, t, 1);
    return t + cost;
}

static SLOW Timed slow_read16(Machine *m, uint32_t low_at, uint32_t high_at, uint64_t t, uint32_t mdr) {
    Timed low = slow_read(m, low_at, t, mdr), high = slow_read(m, high_at, low.t, (uint32_t)low.v);
    high.v = low.v | high.v << 8;
    return high;
}

static SLOW uint64_t slow_write16(Machine *m, uint32_t first, uint32_t one, uint32_t second, uint32_t two, uint64_t t) {
    return slow_write(m, second, two, slow_write(m, first, one, t));
}

/* Sum of two decimal numbers: result, bit 16 carry, bit 17 overflow. */
static SLOW uint32_t add_decimal(uint32_t left, uint32_t right, uint32_t carry, int bits, int subtract) {
    uint32_t result = 0, before = 0, sign = 1u << (bits - 1);
    for (int shift = 0; shift < bits; shift += 4) {
        uint32_t digit = (left >> shift & 15) + (right >> shift & 15) + carry;
        before = result | digit << shift;
        if (subtract) {
            carry = digit > 15;
            if (!carry) digit -= 6;
        } else {
            if (digit > 9) digit += 6;
            carry = digit > 15;
        }
        result |= (digit & 15) << shift;
    }
    return result | carry << 16 | (~(left ^ right) & (left ^ before) & sign ? 1u << 17 : 0);
}

static inline uint32_t load16(const uint8_t *at) { return at[0] | (uint32_t)at[1] << 8; }
static inline void store16(uint8_t *at, uint32_t value) { at[0] = (uint8_t)value, at[1] = (uint8_t)(value >> 8); }

#include "cpu_run.h"
#include "cpu_starts.h"

/* --- what Python calls --------------------------------------------------------------------------------------------------- */

static void set_pages(Machine *m, const uint32_t *pages, uint32_t traced) {
    m->traced = traced;
    for (uint32_t at = 0; at < PAGES; at++) {
        Page *page = &m->page[at];
        page->kind = pages[at] >> 28, page->base = pages[at] & 0xFFFFFFF;
        page->cost = access_cost(at * PAGE, m->fast);
        page->mem = page->kind == RAM ? m->arena + page->base : page->kind == ROM ? m->rom + page->base : m->no_page;
        page->shadow = traced ? m->none : page->kind == RAM ? m->shadow + page->base : page->kind == ROM ? m->all : m->none;
        uint32_t follows = at & 7 && page->kind == ROM && page[-1].kind == ROM && page[-1].base + PAGE == page->base;
        m->run_start[at] = follows ? m->run_start[at - 1] : at;
    }
    for (uint32_t at = PAGES; at-- > 0;) {
        uint32_t last = (at & 7) == 7 || m->run_start[at + 1] != m->run_start[at];
        m->run_length[at] = last ? (at + 1 - m->run_start[at]) * PAGE : m->run_length[at + 1];
    }
}

EXPORT void afs_free(Machine *m) {
    if (!m) return;
    free(m->arena), free(m->shadow), free(m->rom), free(m->cdl), free(m->undo);
    free(m->noted.at), free(m->io.at), free(m->bus.at), free(m->changed.at), free(m->filled.at), free(m);
}

static int fits(const uint32_t *pages, uint32_t rom_size, uint32_t arena_size) {
    for (uint32_t at = 0; at < PAGES; at++) {
        uint32_t kind = pages[at] >> 28, base = pages[at] & 0xFFFFFFF;
        if (kind > IO_PORTS || (kind == ROM && base + PAGE > rom_size)) return 0;
        if (kind == RAM && base + PAGE > arena_size) return 0;
        if (kind == IO_PORTS && arena_size < PORTS + 0x6000) return 0;
    }
    return 1;
}

/* A machine; `fill` is what its memory holds (NULL: zeros). NULL when the map does not fit or memory is short. */
EXPORT Machine *afs_new(const uint32_t *pages, const uint8_t *rom, uint32_t rom_size, const uint8_t *fill, uint32_t arena_size,
                        uint32_t fast, uint32_t traced) {
    Machine *m = fits(pages, rom_size, arena_size) ? calloc(1, sizeof *m) : NULL;
    if (!m) return NULL;
    m->arena = calloc(arena_size, 1), m->shadow = malloc(arena_size), m->rom = malloc(rom_size ? rom_size : 1);
    if (traced == 2) m->cdl = calloc(rom_size ? rom_size : 1, 1);
    if (!m->arena || !m->shadow || !m->rom || (traced == 2 && !m->cdl)) { afs_free(m); return NULL; }
    if (fill) memcpy(m->arena, fill, arena_size);
    if (rom_size) memcpy(m->rom, rom, rom_size);
    m->base = ALLOWED | COMPARED;
    memset(m->shadow, ALLOWED | COMPARED, arena_size);
    memset(m->all, DEFINED, PAGE);
    m->arena_size = arena_size, m->rom_size = rom_size;
    m->fast = m->start_fast = fast, m->violation = -1, m->ports.vlatch_at = VRAM;
    set_pages(m, pages, traced);
    return m;
}

static int inside(uint32_t offset, uint32_t size, uint32_t whole) { return offset <= whole && size <= whole - offset; }

/* Put bytes into the ROM. */
EXPORT int afs_rom(Machine *m, uint32_t offset, const uint8_t *bytes, uint32_t size) {
    if (!inside(offset, size, m->rom_size)) return -1;
    memcpy(m->rom + offset, bytes, size);
    return 0;
}

/* Put bytes into memory as an input; `old` (may be NULL) takes the bytes and then the flags that were there. */
EXPORT int afs_poke(Machine *m, uint32_t offset, const uint8_t *bytes, uint32_t size, uint8_t *old) {
    if (!inside(offset, size, m->arena_size)) return -1;
    if (old) memcpy(old, m->arena + offset, size), memcpy(old + size, m->shadow + offset, size);
    memcpy(m->arena + offset, bytes, size);
    for (uint32_t at = 0; at < size; at++) m->shadow[offset + at] |= DEFINED | INPUT;
    return 0;
}

/* Take a poke back. */
EXPORT int afs_unpoke(Machine *m, uint32_t offset, const uint8_t *old, uint32_t size) {
    if (!inside(offset, size, m->arena_size)) return -1;
    memcpy(m->arena + offset, old, size), memcpy(m->shadow + offset, old + size, size);
    return 0;
}

/* Flags of all memory, then of single ranges (offset, size, bits to clear, bits to set); the last call's ranges are undone. */
EXPORT int afs_flags(Machine *m, uint32_t base, const uint32_t *changes, uint32_t n) {
    for (uint32_t k = 0; k < n; k++)
        if (!inside(changes[k * 4], changes[k * 4 + 1], m->arena_size)) return -1;
    for (uint32_t k = 0; k < m->changed.n; k += 2) memset(m->shadow + m->changed.at[k], (int)m->base, m->changed.at[k + 1]);
    if (base != m->base) memset(m->shadow, (int)base, m->arena_size);
    m->base = base, m->changed.n = 0;
    for (uint32_t k = 0; k < n; k++, changes += 4) {
        push_list(m, &m->changed, changes[0]), push_list(m, &m->changed, changes[1]);
        for (uint32_t at = changes[0]; at < changes[0] + changes[1]; at++)
            m->shadow[at] = (uint8_t)((m->shadow[at] & ~changes[2]) | changes[3]);
    }
    return m->out_of_memory ? -2 : 0;
}

typedef struct {
    Regs end;
    uint32_t stop, instructions, n_undo, n_noted, n_io, io_writes, n_bus, early;
    uint64_t cycles, clocks;
    int64_t violation;
    const Undo *undo;
    const uint32_t *noted, *io, *bus;
    const uint8_t *arena;
} Result;

/* Run once; what it did stays in the machine until afs_restore. */
EXPORT int afs_run(Machine *m, const Regs *start, uint32_t sentinel, uint32_t budget, uint32_t traps, Result *out) {
    Regs r = *start;
    run_once(m, &r, sentinel, budget, traps);
    memset(out, 0, sizeof *out);
    out->end = r, out->stop = m->stop, out->instructions = m->instructions, out->early = m->early;
    out->n_undo = m->n_undo, out->n_noted = m->noted.n, out->n_io = m->io.n, out->io_writes = m->io_writes;
    out->n_bus = m->bus.n / 2, out->cycles = m->t >> 32, out->clocks = clocks_of(m), out->violation = m->violation;
    out->undo = m->undo, out->noted = m->noted.at, out->io = m->io.at, out->bus = m->bus.at, out->arena = m->arena;
    return m->out_of_memory ? -1 : 0;
}

EXPORT void afs_restore(Machine *m) { restore(m); }

/* What undefined memory and latches hold, and when in the frame the next runs begin. */
EXPORT void afs_vary(Machine *m, uint64_t fill, uint64_t phase) { m->fill = fill, m->phase = phase; }

#include "cpu_console.h"

EXPORT uint32_t afs_version(void) { return 2; }

#ifdef AFS_PYTHON_MODULE
#include <Python.h>
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_cpu", "The compiled CPU core; its functions are called with ctypes.", -1,
                                    NULL, NULL, NULL, NULL, NULL};
PyMODINIT_FUNC PyInit__cpu(void) { return PyModule_Create(&module); }
#endif
