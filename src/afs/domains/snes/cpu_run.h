/* The run loop: fetch windows, dispatch, reasons to stop. The 256 instructions stand in cpu_ops.h, which is read six times: for those
 * that ask for no width, for A of 16 and 8 bits (VM: is it 8?), for X and Y of 16 and 8 bits (VX), and for those that differ in
 * emulation mode (VE). With GCC and Clang an instruction jumps straight to the next one; other compilers get a switch. */

/* Which reading of cpu_ops.h an opcode comes from: m, x, n; a capital one has another form in emulation mode. */
#define ROWS(m, x, n, M, X, N) \
    N(00), M(01), N(02), m(03), m(04), m(05), m(06), m(07), N(08), m(09), m(0A), N(0B), m(0C), m(0D), m(0E), m(0F), \
    N(10), M(11), M(12), m(13), m(14), M(15), M(16), m(17), n(18), m(19), m(1A), N(1B), m(1C), m(1D), m(1E), m(1F), \
    N(20), M(21), N(22), m(23), m(24), m(25), m(26), m(27), N(28), m(29), m(2A), N(2B), m(2C), m(2D), m(2E), m(2F), \
    N(30), M(31), M(32), m(33), M(34), M(35), M(36), m(37), n(38), m(39), m(3A), n(3B), m(3C), m(3D), m(3E), m(3F), \
    N(40), M(41), n(42), m(43), x(44), m(45), m(46), m(47), M(48), m(49), m(4A), N(4B), n(4C), m(4D), m(4E), m(4F), \
    N(50), M(51), M(52), m(53), x(54), M(55), M(56), m(57), n(58), m(59), X(5A), n(5B), n(5C), m(5D), m(5E), m(5F), \
    N(60), M(61), N(62), m(63), m(64), m(65), m(66), m(67), M(68), m(69), m(6A), N(6B), n(6C), m(6D), m(6E), m(6F), \
    N(70), M(71), M(72), m(73), M(74), M(75), M(76), m(77), n(78), m(79), X(7A), n(7B), n(7C), m(7D), m(7E), m(7F), \
    N(80), M(81), n(82), m(83), x(84), m(85), x(86), m(87), x(88), m(89), m(8A), N(8B), x(8C), m(8D), x(8E), m(8F), \
    N(90), M(91), M(92), m(93), X(94), M(95), X(96), m(97), m(98), m(99), N(9A), x(9B), m(9C), m(9D), m(9E), m(9F), \
    x(A0), M(A1), x(A2), m(A3), x(A4), m(A5), x(A6), m(A7), x(A8), m(A9), x(AA), N(AB), x(AC), m(AD), x(AE), m(AF), \
    N(B0), M(B1), M(B2), m(B3), X(B4), M(B5), X(B6), m(B7), n(B8), m(B9), x(BA), x(BB), x(BC), m(BD), x(BE), m(BF), \
    x(C0), M(C1), N(C2), m(C3), x(C4), m(C5), m(C6), m(C7), x(C8), m(C9), x(CA), n(CB), x(CC), m(CD), m(CE), m(CF), \
    N(D0), M(D1), M(D2), m(D3), N(D4), M(D5), M(D6), m(D7), n(D8), m(D9), X(DA), n(DB), n(DC), m(DD), m(DE), m(DF), \
    x(E0), M(E1), N(E2), m(E3), x(E4), m(E5), m(E6), m(E7), x(E8), m(E9), n(EA), n(EB), x(EC), m(ED), m(EE), m(EF), \
    N(F0), M(F1), M(F2), m(F3), N(F4), M(F5), M(F6), m(F7), n(F8), m(F9), X(FA), N(FB), N(FC), m(FD), m(FE), m(FF)

#if defined(__GNUC__) && !defined(AFS_SWITCH)
#define OP(code) JOIN(VARIANT, code):
#define JOIN(a, b) JOIN_(a, b)
#define JOIN_(a, b) a##b
#define CELL(prefix, code) &&prefix##code
#define GO goto *table[code[i]]
typedef const void *Cell;
#else
#define AFS_SWITCH
enum { ANY_ = 0x000, A16_ = 0x100, A8_ = 0x200, X16_ = 0x300, X8_ = 0x400, EMU_ = 0x500 };
#define OP(code) case VARIANT | 0x##code:
#define CELL(prefix, code) prefix | 0x##code
#define GO goto dispatch
typedef uint16_t Cell;
#endif
#define CELL_ANY(code) CELL(ANY_, code)
#define CELL_A16(code) CELL(A16_, code)
#define CELL_A8(code) CELL(A8_, code)
#define CELL_X16(code) CELL(X16_, code)
#define CELL_X8(code) CELL(X8_, code)
#define CELL_EMU(code) CELL(EMU_, code)
#define NATIVE(m, x) {ROWS(m, x, CELL_ANY, m, x, CELL_ANY)}
#define PASS_N 1
#define PASS_M 2
#define PASS_X 3
#define PASS_E 4

/* Bytes of an instruction fetched before it acts; JSL (22) and JSR (abs,X) (FC) fetch their last one after a push. */
static const uint8_t LENGTH[256] = {
    2, 2, 2, 2, 2, 2, 2, 2, 1, 3, 1, 1, 3, 3, 3, 4, 2, 2, 2, 2, 2, 2, 2, 2, 1, 3, 1, 1, 3, 3, 3, 4,
    3, 2, 3, 2, 2, 2, 2, 2, 1, 3, 1, 1, 3, 3, 3, 4, 2, 2, 2, 2, 2, 2, 2, 2, 1, 3, 1, 1, 3, 3, 3, 4,
    1, 2, 2, 2, 3, 2, 2, 2, 1, 3, 1, 1, 3, 3, 3, 4, 2, 2, 2, 2, 3, 2, 2, 2, 1, 3, 1, 1, 4, 3, 3, 4,
    1, 2, 3, 2, 2, 2, 2, 2, 1, 3, 1, 1, 3, 3, 3, 4, 2, 2, 2, 2, 2, 2, 2, 2, 1, 3, 1, 1, 3, 3, 3, 4,
    2, 2, 3, 2, 2, 2, 2, 2, 1, 3, 1, 1, 3, 3, 3, 4, 2, 2, 2, 2, 2, 2, 2, 2, 1, 3, 1, 1, 3, 3, 3, 4,
    3, 2, 3, 2, 2, 2, 2, 2, 1, 3, 1, 1, 3, 3, 3, 4, 2, 2, 2, 2, 2, 2, 2, 2, 1, 3, 1, 1, 3, 3, 3, 4,
    3, 2, 2, 2, 2, 2, 2, 2, 1, 3, 1, 1, 3, 3, 3, 4, 2, 2, 2, 2, 2, 2, 2, 2, 1, 3, 1, 1, 3, 3, 3, 4,
    3, 2, 2, 2, 2, 2, 2, 2, 1, 3, 1, 1, 3, 3, 3, 4, 2, 2, 2, 2, 3, 2, 2, 2, 1, 3, 1, 1, 2, 3, 3, 4};

static uint32_t fetched_length(uint8_t op, uint32_t wide_a, uint32_t wide_x) {
    uint32_t length = LENGTH[op];
    if ((op & 0x1F) == 0x09) return wide_a ? 3 : 2;
    if (op == 0xA0 || op == 0xA2 || op == 0xC0 || op == 0xE0) return wide_x ? 3 : 2;
    return length;
}

static void run(Machine *m, Regs *r);

static void restore(Machine *m) {
    for (uint32_t k = m->n_undo; k-- > 0;) {
        uint32_t at = m->undo[k].offset;
        m->arena[at] = (uint8_t)(m->undo[k].old & UNDEFINED ? m->undo[k].old >> 8 : m->undo[k].old);
        m->shadow[at] &= m->shadow[at] & INPUT ? ~(WRITTEN | ORIGINAL) : ~(WRITTEN | ORIGINAL | DEFINED);
    }
    for (uint32_t k = 0; k < m->noted.n; k++) m->shadow[m->noted.at[k]] &= ~DEFINED;
    for (uint32_t k = m->filled.n; k > 0; k -= 2) m->arena[m->filled.at[k - 2]] = (uint8_t)m->filled.at[k - 1];
    m->n_undo = m->noted.n = m->filled.n = m->io.n = m->bus.n = m->io_writes = m->early = 0;
    m->stall = 0, m->violation = -1;
    memset(&m->ports, 0, sizeof m->ports);
    m->ports.vlatch_at = VRAM;
    if (m->fast != m->start_fast) set_speed(m, m->start_fast);
}

static uint64_t clocks_of(const Machine *m) { return clock_at(m, m->t); }

static void run_once(Machine *m, Regs *r, uint32_t sentinel, uint32_t budget, uint32_t traps) {
    m->sentinel = sentinel, m->traps = traps, m->t = 0, m->instructions = 0;
    m->budget = budget < BUDGET_LIMIT ? budget : BUDGET_LIMIT;
    set_limit(m);
    run(m, r);
    if (m->out_of_memory) m->stop = NO_MEMORY;
}

static void run(Machine *m, Regs *r) {
    uint32_t a = r->a, x = r->x, y = r->y, s = r->s, d = r->d, db = (uint32_t)r->db << 16, pb = (uint32_t)r->pb << 16;
    uint32_t nz, c, v, rest;                  /* N and Z of a value, C, V, and the flags D and I */
    uint32_t i = r->pc, lo = 0, span = 0, n = 0; /* place in the window, its first address, its length less 3; instructions */
    uint32_t started_in_e = r->e, e = r->e, mx, stop;
    const uint8_t *code;
    uint8_t buffer[4] = {0, 0, 0, 0};
    uint64_t t = m->t, cc = 0, dcost = (d & 0xFF) ? IDLE : 0, limit = m->limit;
    static const Cell tables[5][256] = {NATIVE(CELL_A16, CELL_X16), NATIVE(CELL_A16, CELL_X8), NATIVE(CELL_A8, CELL_X16),
        NATIVE(CELL_A8, CELL_X8), {ROWS(CELL_A8, CELL_X8, CELL_ANY, CELL_EMU, CELL_EMU, CELL_EMU)}};
    const Cell *table;

#define PACK(M8, X8) (((nz & 0x80008000u) ? 0x80u : 0) | (v ? 0x40u : 0) | ((M8) ? 0x20u : 0) | ((X8) ? 0x10u : 0) | rest | \
                      ((nz & 0xFFFF) ? 0 : 2u) | c)
#define UNPACK(value) (nz = ((value) & 0x80 ? 0x80000000u : 0) | ((value) & 2 ? 0 : 1), v = (value) & 0x40, c = (value) & 1, \
                       rest = (value) & 0x0C)
#define SET_TABLE() (table = tables[e ? 4 : mx])
#define STOP(why) do { stop = (why); goto stopped; } while (0)

    UNPACK(r->p);
    mx = e ? 3 : r->p >> 4 & 3;
    if (mx & 1) x &= 0xFF, y &= 0xFF;
    if (e) s = 0x100 | (s & 0xFF);
    SET_TABLE();

refetch:
    i = (lo + i) & 0xFFFF, lo = 0;
    limit = m->limit;
    if ((pb | i) == m->sentinel) STOP(RETURN);
    if (t >= limit) {
        set_limit(m);
        limit = m->limit;
        if (t >= limit) STOP(BUDGET);
    }
    {
        uint32_t number = (pb | i) >> 13;
        const Page *page = &m->page[number];
        if (page->kind != ROM && page->kind != RAM) STOP(WILD);
        if (page->kind == ROM && !m->traced) {
            lo = (m->run_start[number] << 13) & 0xFFFF;
            span = m->run_length[number] - 3;
            i -= lo, code = m->page[m->run_start[number]].mem, cc = page->cost;
            if (i < span) GO;
            i += lo, lo = 0;
        }
    }
    {   /* byte by byte: code in RAM, at the end of a window, traced */
        const Page *page = &m->page[(pb | i) >> 13];
        uint32_t length = 1;
        if (m->traps && page->mem[i & 0x1FFF] == 0x00) STOP(BRK);
        if (m->traps && page->mem[i & 0x1FFF] == 0x02) STOP(COP);
        for (uint32_t k = 0; k < length; k++) {
            const Page *at = &m->page[(pb | ((i + k) & 0xFFFF)) >> 13];
            uint8_t *use = m->cdl && at->kind == ROM ? m->cdl + at->base + ((i + k) & 0x1FFF) : NULL, before = use ? *use : 0;
            Timed byte = slow_read(m, pb | ((i + k) & 0xFFFF), t, k ? buffer[k - 1] : 0);
            if (use) *use = before | CDL_CODE | (mx & 1 ? CDL_X8 : 0) | (mx & 2 ? CDL_M8 : 0);
            buffer[k] = (uint8_t)byte.v, t = byte.t;
            if (!k) length = fetched_length(buffer[0], !(mx & 2), !(mx & 1));
        }
        lo = i, i = 0, span = 0, code = buffer, cc = 0;
        GO;
    }

#ifdef AFS_SWITCH
dispatch:
    switch (table[code[i]]) {
#endif
#define VE 0
#define VM 0
#define VX 0
#define PASS PASS_N
#define VARIANT ANY_
#include "cpu_ops.h"
#undef PASS
#undef VARIANT
#define PASS PASS_M
#define VARIANT A16_
#include "cpu_ops.h"
#undef VM
#undef VARIANT
#define VM 1
#define VARIANT A8_
#include "cpu_ops.h"
#undef PASS
#undef VARIANT
#define PASS PASS_X
#define VARIANT X16_
#include "cpu_ops.h"
#undef VX
#undef VARIANT
#define VX 1
#define VARIANT X8_
#include "cpu_ops.h"
#undef PASS
#undef VE
#undef VARIANT
#define PASS PASS_E
#define VE 1
#define VARIANT EMU_
#include "cpu_ops.h"
#ifdef AFS_SWITCH
    }
#endif

jumped: /* to another bank, or into another mode */
    n++;
    if (t >= limit && m->violation >= 0) STOP(WRITE);
    goto refetch;
leave: /* out of the window, or the limit was moved */
    if (m->violation >= 0) STOP(WRITE);
    goto refetch;
stopped:
    r->a = (uint16_t)a, r->x = (uint16_t)x, r->y = (uint16_t)y, r->s = (uint16_t)s, r->d = (uint16_t)d;
    r->pc = (uint16_t)(lo + i), r->db = (uint8_t)(db >> 16), r->pb = (uint8_t)(pb >> 16), r->e = (uint8_t)e;
    r->p = (uint8_t)PACK(mx & 2, mx & 1);
    m->t = t, m->stop = stop, m->instructions = n;
}
