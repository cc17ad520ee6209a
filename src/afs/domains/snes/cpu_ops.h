/* The 256 instructions for one width of A and X (no include guard: cpu_run.h reads this five times).
 *
 * Timing follows the bus: `t += cc * bytes` for the program bytes, IDLE for internal cycles, the page's cost for data. `mdr` is
 * the byte last on the bus before a data access; only open bus asks for it. */

#ifndef CPU_OPS_MACROS
#define CPU_OPS_MACROS

#define O8 (code[i + 1])
#define O16 load16(code + i + 1)
#define HI (code[i + 2])
#define SX8(value) ((uint32_t)(int32_t)(int8_t)(value))
#define NZ8(value) (nz = SX8(value))
#define NZ16(value) (nz = (value))
#define AM (VM ? 0xFFu : 0xFFFFu)
#define XM (VX ? 0xFFu : 0xFFFFu)

#define NEXT(length) do { i += (length); n++; if (!LIKELY(t < limit)) goto leave; if (!LIKELY(i < span)) goto refetch; GO; } while (0)

#define RD8(out, at, mdr) do { uint32_t at_ = (at); const Page *g = &m->page[at_ >> 13]; uint32_t l_ = at_ & 0x1FFF; \
    if (LIKELY(g->shadow[l_] & DEFINED)) out = g->mem[l_], t += g->cost; \
    else { Timed q_ = slow_read(m, at_, t, (mdr)); out = (uint32_t)q_.v, t = q_.t; } } while (0)
#define RD16(out, at, bank0, mdr) do { uint32_t at_ = (at); const Page *g = &m->page[at_ >> 13]; uint32_t l_ = at_ & 0x1FFF; \
    if (LIKELY(l_ != 0x1FFF && (g->shadow[l_] & g->shadow[l_ + 1] & DEFINED))) out = load16(g->mem + l_), t += 2 * g->cost; \
    else { Timed q_ = slow_read16(m, at_, (at_ + 1) & ((bank0) ? 0xFFFF : 0xFFFFFF), t, (mdr)); \
           out = (uint32_t)q_.v, t = q_.t; } } while (0)
#define WR8(at, value) do { uint32_t at_ = (at); const Page *g = &m->page[at_ >> 13]; uint32_t l_ = at_ & 0x1FFF; \
    if (LIKELY(g->shadow[l_] & WRITTEN)) g->mem[l_] = (uint8_t)(value), t += g->cost; \
    else t = slow_write(m, at_, (value), t), limit = m->limit; } while (0)
#define WR16(at, value, bank0, high_first) do { uint32_t at_ = (at), w_ = (value); const Page *g = &m->page[at_ >> 13]; \
    uint32_t l_ = at_ & 0x1FFF; \
    if (LIKELY(l_ != 0x1FFF && (g->shadow[l_] & g->shadow[l_ + 1] & WRITTEN))) store16(g->mem + l_, w_), t += 2 * g->cost; \
    else { uint32_t up_ = (at_ + 1) & ((bank0) ? 0xFFFF : 0xFFFFFF); \
        t = (high_first) ? slow_write16(m, up_, w_ >> 8, at_, w_ & 0xFF, t) : slow_write16(m, at_, w_ & 0xFF, up_, w_ >> 8, t); \
        limit = m->limit; } } while (0)

/* A word in the program bank: its second byte wraps inside the bank. */
#define RD16_BANK(out, bank, at, mdr) do { if (LIKELY((at) != 0xFFFF)) RD16(out, (bank) | (at), 0, mdr); \
    else { Timed q_ = slow_read16(m, (bank) | 0xFFFF, (bank), t, (mdr)); out = (uint32_t)q_.v, t = q_.t; } } while (0)
#define PUSH8(value) do { WR8(s, (value)); s = VE ? 0x100 | ((s - 1) & 0xFF) : (s - 1) & 0xFFFF; } while (0)
#define PUSH16(value) do { uint32_t p_ = (value); if (VE) { PUSH8(p_ >> 8); PUSH8(p_ & 0xFF); } else PUSH16_NEW(p_); } while (0)
#define PULL8(out, mdr) do { s = VE ? 0x100 | ((s + 1) & 0xFF) : (s + 1) & 0xFFFF; RD8(out, s, mdr); } while (0)
#define PULL16(out, mdr) do { if (VE) { uint32_t lo_, hi_; PULL8(lo_, mdr); PULL8(hi_, lo_); out = lo_ | hi_ << 8; } \
    else PULL16_NEW(out, mdr); } while (0)
/* What the 6502 did not have moves S in 16 bits; MEND puts it back into page 1 in emulation mode. */
#define PUSH16_NEW(value) do { WR16((s - 1) & 0xFFFF, (value), 1, 1); s = (s - 2) & 0xFFFF; } while (0)
#define PUSH8_NEW(value) do { WR8(s, (value)); s = (s - 1) & 0xFFFF; } while (0)
#define PULL8_NEW(out, mdr) do { s = (s + 1) & 0xFFFF; RD8(out, s, mdr); } while (0)
#define PULL16_NEW(out, mdr) do { RD16(out, (s + 1) & 0xFFFF, 1, mdr); s = (s + 2) & 0xFFFF; } while (0)
#define MEND() do { if (VE) s = 0x100 | (s & 0xFF); } while (0)

/* Addressing: USE_x(body) forms `at` and the constants BANK0 and MDR, then does the body. IS_READ decides the index cycle. */
#define DIRECT(offset) (VE && !(d & 0xFF) ? d | ((offset) & 0xFF) : (d + (offset)) & 0xFFFF)
#define POINTER(out, offset) do { uint32_t o_ = (offset); if (VE) { uint32_t one_, two_; RD8(one_, DIRECT(o_), O8); \
    RD8(two_, DIRECT(o_ + 1), one_); out = one_ | two_ << 8; } else RD16(out, (d + o_) & 0xFFFF, 1, O8); } while (0)
#define LONG_POINTER(out, offset) do { uint32_t o_ = (offset), low_, bank_; RD16(low_, (d + o_) & 0xFFFF, 1, O8); \
    RD8(bank_, (d + o_ + 2) & 0xFFFF, low_ >> 8); out = low_ | bank_ << 16; } while (0)
#define INDEXED(base, index, is_read) do { uint32_t b_ = (base); \
    if (!(is_read) || !(VE || mx & 1) || (b_ & 0xFF) + ((index) & 0xFF) > 0xFF) t += IDLE; at = (db + b_ + (index)) & 0xFFFFFF; } while (0)

#define AT_DP(r) t += 2 * cc + dcost; at = DIRECT(O8);
#define AT_DPX(r) t += 2 * cc + dcost + IDLE; at = DIRECT(O8 + x);
#define AT_DPY(r) t += 2 * cc + dcost + IDLE; at = DIRECT(O8 + y);
#define AT_IND(r) t += 2 * cc + dcost; POINTER(at, O8); mdr = at >> 8; at |= db;
/* (dp,X) in emulation mode: the second byte of the pointer never leaves the page of the first, whatever D is. */
#define AT_INDX(r) t += 2 * cc + dcost + IDLE; if (VE) { uint32_t one_, two_, o_ = DIRECT(O8 + x); RD8(one_, o_, O8); \
    RD8(two_, (o_ & 0xFF00) | ((o_ + 1) & 0xFF), one_); at = one_ | two_ << 8; } else POINTER(at, O8 + x); mdr = at >> 8; at |= db;
#define AT_INDY(r) t += 2 * cc + dcost; POINTER(at, O8); mdr = at >> 8; INDEXED(at, y, r);
#define AT_LIND(r) t += 2 * cc + dcost; LONG_POINTER(at, O8); mdr = at >> 16;
#define AT_LINDY(r) t += 2 * cc + dcost; LONG_POINTER(at, O8); mdr = at >> 16; at = (at + y) & 0xFFFFFF;
#define AT_ABS(r) t += 3 * cc; at = db | O16;
#define AT_ABSX(r) t += 3 * cc; INDEXED(O16, x, r);
#define AT_ABSY(r) t += 3 * cc; INDEXED(O16, y, r);
#define AT_LONG(r) t += 4 * cc; at = O16 | (uint32_t)code[i + 3] << 16;
#define AT_LONGX(r) t += 4 * cc; at = (O16 + ((uint32_t)code[i + 3] << 16) + x) & 0xFFFFFF;
#define AT_SR(r) t += 2 * cc + IDLE; at = (s + O8) & 0xFFFF;
#define AT_SRY(r) t += 2 * cc + IDLE; RD16(at, (s + O8) & 0xFFFF, 1, O8); mdr = at >> 8; t += IDLE; at = (db + at + y) & 0xFFFFFF;

/* LEN, BANK0 and the byte on the bus for each mode. */
#define MODE_DP 2, 1, O8
#define MODE_DPX 2, 1, O8
#define MODE_DPY 2, 1, O8
#define MODE_SR 2, 1, O8
#define MODE_IND 2, 0, mdr
#define MODE_INDX 2, 0, mdr
#define MODE_INDY 2, 0, mdr
#define MODE_LIND 2, 0, mdr
#define MODE_LINDY 2, 0, mdr
#define MODE_SRY 2, 0, mdr
#define MODE_ABS 3, 0, HI
#define MODE_ABSX 3, 0, HI
#define MODE_ABSY 3, 0, HI
#define MODE_LONG 4, 0, code[i + 3]
#define MODE_LONGX 4, 0, code[i + 3]
#define CALL(macro, ...) macro(__VA_ARGS__)

#define READ_(narrow, len, bank0, mdr_, ...) if (narrow) { RD8(q, at, mdr_); } else { RD16(q, at, bank0, mdr_); } __VA_ARGS__; NEXT(len);
#define WRITE_(narrow, len, bank0, mdr_, what) if (narrow) { WR8(at, (what) & 0xFF); } else { WR16(at, what, bank0, 0); } NEXT(len);
#define MODIFY_(narrow, len, bank0, mdr_, ...) if (narrow) { RD8(q, at, mdr_); } else { RD16(q, at, bank0, mdr_); } \
    t += IDLE; __VA_ARGS__; if (narrow) { WR8(at, q); } else { WR16(at, q, bank0, 1); } NEXT(len);

#define READ(code_, mode, g, narrow, ...) IN(g, mode)(OP(code_) { uint32_t at, q, mdr; (void)mdr; AT_##mode(1) CALL(READ_, narrow, MODE_##mode, __VA_ARGS__) })
#define STORE(code_, mode, g, narrow, what) IN(g, mode)(OP(code_) { uint32_t at, mdr; (void)mdr; AT_##mode(0) CALL(WRITE_, narrow, MODE_##mode, what) })
#define MODIFY(code_, mode, ...) IN(M, mode)(OP(code_) { uint32_t at, q, mdr; (void)mdr; AT_##mode(0) CALL(MODIFY_, VM, MODE_##mode, __VA_ARGS__) })
#define IMM(code_, g, narrow, ...) IN_##g(OP(code_) { uint32_t q; if (narrow) { t += 2 * cc; q = O8; __VA_ARGS__; NEXT(2); } else { t += 3 * cc; q = O16; __VA_ARGS__; NEXT(3); } })
#define IMPLIED(code_, g, ...) IN_##g(OP(code_) { t += cc + IDLE; __VA_ARGS__; NEXT(1); })

#define SET_A(value) do { if (VM) { uint32_t r_ = (value); a = (a & 0xFF00) | (r_ & 0xFF); NZ8(r_); } else { a = (value) & 0xFFFF; NZ16(a); } } while (0)
#define SET_X(to, value) do { if (VX) { to = (value) & 0xFF; NZ8(to); } else { to = (value) & 0xFFFF; NZ16(to); } } while (0)
#define ADD(subtract) do { uint32_t l_ = a & AM, r_ = (subtract) ? q ^ AM : q, sum_; \
    if (rest & 8) { sum_ = add_decimal(l_, r_, c, VM ? 8 : 16, subtract); v = sum_ >> 17; c = sum_ >> 16 & 1; } \
    else { sum_ = l_ + r_ + c; v = (l_ ^ sum_) & (r_ ^ sum_) & (VM ? 0x80 : 0x8000); c = sum_ >> (VM ? 8 : 16); } \
    SET_A(sum_); } while (0)
#define COMPARE(with, narrow) do { uint32_t l_ = (with) & ((narrow) ? 0xFF : 0xFFFF), r_ = l_ - q; c = l_ >= q; \
    if (narrow) NZ8(r_); else NZ16(r_ & 0xFFFF); } while (0)
#define BIT_TEST(z_only) do { uint32_t n_ = (z_only) ? nz & 0x80008000u : q & (VM ? 0x80 : 0x8000); \
    if (!(z_only)) v = q & (VM ? 0x40 : 0x4000); nz = (n_ ? 0x80000000u : 0) | ((q & a & AM) != 0); } while (0)
#define LEFT(in) do { uint32_t in_ = (in); c = q >> (VM ? 7 : 15) & 1; q = (q << 1 & AM) | in_; if (VM) NZ8(q); else NZ16(q); } while (0)
#define RIGHT(in) do { uint32_t in_ = (in); c = q & 1; q = q >> 1 | in_ << (VM ? 7 : 15); if (VM) NZ8(q); else NZ16(q); } while (0)
#define STEP_Q(by) do { q = (q + (by)) & AM; if (VM) NZ8(q); else NZ16(q); } while (0)
#define SET_BITS(on) do { uint32_t m_ = a & AM; nz = (nz & 0x80008000u ? 0x80000000u : 0) | ((q & m_) != 0); q = (on) ? q | m_ : q & ~m_; } while (0)
#define ON_A(...) do { uint32_t q = a & AM; __VA_ARGS__; a = VM ? (a & 0xFF00) | q : q; } while (0)

#define ALU(c1, c3, c5, c7, c9, cD, cF, d1, d2, d3, d5, d7, d9, dD, dF, ...) \
    READ(c1, INDX, M, VM, __VA_ARGS__) READ(c3, SR, M, VM, __VA_ARGS__) READ(c5, DP, M, VM, __VA_ARGS__) READ(c7, LIND, M, VM, __VA_ARGS__) IMM(c9, M, VM, __VA_ARGS__) READ(cD, ABS, M, VM, __VA_ARGS__) \
    READ(cF, LONG, M, VM, __VA_ARGS__) READ(d1, INDY, M, VM, __VA_ARGS__) READ(d2, IND, M, VM, __VA_ARGS__) READ(d3, SRY, M, VM, __VA_ARGS__) READ(d5, DPX, M, VM, __VA_ARGS__) \
    READ(d7, LINDY, M, VM, __VA_ARGS__) READ(d9, ABSY, M, VM, __VA_ARGS__) READ(dD, ABSX, M, VM, __VA_ARGS__) READ(dF, LONGX, M, VM, __VA_ARGS__)
#define SHIFT(on_a, dp, abs_, dpx, absx, ...) IMPLIED(on_a, M, ON_A(__VA_ARGS__)) MODIFY(dp, DP, __VA_ARGS__) MODIFY(abs_, ABS, __VA_ARGS__) \
    MODIFY(dpx, DPX, __VA_ARGS__) MODIFY(absx, ABSX, __VA_ARGS__)

#define BRANCH(code_, taken) IN_NE(OP(code_) { t += 2 * cc; if (taken) { uint32_t by = SX8(O8), from = lo + i + 2; t += IDLE; \
    if (VE && ((from + by) ^ from) & 0xFF00) t += IDLE; NEXT(2 + by); } NEXT(2); })
#define SET_P(value) do { uint32_t p_ = (value); UNPACK(p_); if (!VE) { mx = p_ >> 4 & 3; if (mx & 1) x &= 0xFF, y &= 0xFF; SET_TABLE(); } } while (0)
#define MOVE(code_, by) IN_X(OP(code_) { uint32_t q; t += 3 * cc; db = (uint32_t)O8 << 16; RD8(q, (uint32_t)HI << 16 | x, HI); WR8(db | y, q); t += 2 * IDLE; \
    x = (x + (by)) & XM, y = (y + (by)) & XM, a = (a - 1) & 0xFFFF; if (a != 0xFFFF) NEXT(0); NEXT(3); })
#define INTERRUPT(code_, why, native, emulation) IN_NE(OP(code_) { \
    if ((pb | ((lo + i) & 0xFFFF)) == m->sentinel) STOP(RETURN); \
    if (m->traps) STOP(why); \
    t += 2 * cc; if (!VE) PUSH8(pb >> 16); PUSH16((lo + i + 2) & 0xFFFF); PUSH8(PACK(mx & 2, mx & 1)); \
    rest = 4, pb = 0; RD16(i, VE ? (emulation) : (native), 1, PACK(mx & 2, mx & 1)); lo = 0; goto jumped; })
/* To a bank: stay in the window when it is the same one. */
#define FAR(bank, target) do { uint32_t bank_ = (bank) << 16; i = (target) - lo; if (bank_ == pb) NEXT(0); pb = bank_; goto jumped; } while (0)


/* Which reading of this file an instruction belongs to: N does not ask for widths, M asks for the width of A, X for that of X and Y;
 * with E it is another one in emulation mode. */
#define IN(group, mode) IN__(group, mode)
#define IN__(group, mode) IN_##group##_##mode
#define IN_M_DP IN_M
#define IN_M_DPX IN_ME
#define IN_M_DPY IN_ME
#define IN_M_SR IN_M
#define IN_M_IND IN_ME
#define IN_M_INDX IN_ME
#define IN_M_INDY IN_ME
#define IN_M_LIND IN_M
#define IN_M_LINDY IN_M
#define IN_M_SRY IN_M
#define IN_M_ABS IN_M
#define IN_M_ABSX IN_M
#define IN_M_ABSY IN_M
#define IN_M_LONG IN_M
#define IN_M_LONGX IN_M
#define IN_X_DP IN_X
#define IN_X_DPX IN_XE
#define IN_X_DPY IN_XE
#define IN_X_SR IN_X
#define IN_X_IND IN_XE
#define IN_X_INDX IN_XE
#define IN_X_INDY IN_XE
#define IN_X_LIND IN_X
#define IN_X_LINDY IN_X
#define IN_X_SRY IN_X
#define IN_X_ABS IN_X
#define IN_X_ABSX IN_X
#define IN_X_ABSY IN_X
#define IN_X_LONG IN_X
#define IN_X_LONGX IN_X
#endif

#undef IN_N
#undef IN_NE
#undef IN_M
#undef IN_ME
#undef IN_X
#undef IN_XE
#if PASS == PASS_N || PASS == PASS_E
#define IN_NE(...) __VA_ARGS__
#else
#define IN_NE(...)
#endif
#if PASS == PASS_M || PASS == PASS_E
#define IN_ME(...) __VA_ARGS__
#else
#define IN_ME(...)
#endif
#if PASS == PASS_X || PASS == PASS_E
#define IN_XE(...) __VA_ARGS__
#else
#define IN_XE(...)
#endif
#if PASS == PASS_N
#define IN_N(...) __VA_ARGS__
#else
#define IN_N(...)
#endif
#if PASS == PASS_M
#define IN_M(...) __VA_ARGS__
#else
#define IN_M(...)
#endif
#if PASS == PASS_X
#define IN_X(...) __VA_ARGS__
#else
#define IN_X(...)
#endif

ALU(01, 03, 05, 07, 09, 0D, 0F, 11, 12, 13, 15, 17, 19, 1D, 1F, SET_A(a | q))
ALU(21, 23, 25, 27, 29, 2D, 2F, 31, 32, 33, 35, 37, 39, 3D, 3F, SET_A(a & q))
ALU(41, 43, 45, 47, 49, 4D, 4F, 51, 52, 53, 55, 57, 59, 5D, 5F, SET_A(a ^ q))
ALU(61, 63, 65, 67, 69, 6D, 6F, 71, 72, 73, 75, 77, 79, 7D, 7F, ADD(0))
ALU(A1, A3, A5, A7, A9, AD, AF, B1, B2, B3, B5, B7, B9, BD, BF, SET_A(q))
ALU(C1, C3, C5, C7, C9, CD, CF, D1, D2, D3, D5, D7, D9, DD, DF, COMPARE(a, VM))
ALU(E1, E3, E5, E7, E9, ED, EF, F1, F2, F3, F5, F7, F9, FD, FF, ADD(1))

STORE(81, INDX, M, VM, a) STORE(83, SR, M, VM, a) STORE(85, DP, M, VM, a) STORE(87, LIND, M, VM, a) STORE(8D, ABS, M, VM, a)
STORE(8F, LONG, M, VM, a) STORE(91, INDY, M, VM, a) STORE(92, IND, M, VM, a) STORE(93, SRY, M, VM, a) STORE(95, DPX, M, VM, a)
STORE(97, LINDY, M, VM, a) STORE(99, ABSY, M, VM, a) STORE(9D, ABSX, M, VM, a) STORE(9F, LONGX, M, VM, a)
STORE(64, DP, M, VM, 0) STORE(74, DPX, M, VM, 0) STORE(9C, ABS, M, VM, 0) STORE(9E, ABSX, M, VM, 0)
STORE(86, DP, X, VX, x) STORE(8E, ABS, X, VX, x) STORE(96, DPY, X, VX, x) STORE(84, DP, X, VX, y) STORE(8C, ABS, X, VX, y) STORE(94, DPX, X, VX, y)

IMM(A2, X, VX, SET_X(x, q)) READ(A6, DP, X, VX, SET_X(x, q)) READ(AE, ABS, X, VX, SET_X(x, q)) READ(B6, DPY, X, VX, SET_X(x, q)) READ(BE, ABSY, X, VX, SET_X(x, q))
IMM(A0, X, VX, SET_X(y, q)) READ(A4, DP, X, VX, SET_X(y, q)) READ(AC, ABS, X, VX, SET_X(y, q)) READ(B4, DPX, X, VX, SET_X(y, q)) READ(BC, ABSX, X, VX, SET_X(y, q))
IMM(E0, X, VX, COMPARE(x, VX)) READ(E4, DP, X, VX, COMPARE(x, VX)) READ(EC, ABS, X, VX, COMPARE(x, VX))
IMM(C0, X, VX, COMPARE(y, VX)) READ(C4, DP, X, VX, COMPARE(y, VX)) READ(CC, ABS, X, VX, COMPARE(y, VX))
IMM(89, M, VM, BIT_TEST(1)) READ(24, DP, M, VM, BIT_TEST(0)) READ(2C, ABS, M, VM, BIT_TEST(0)) READ(34, DPX, M, VM, BIT_TEST(0)) READ(3C, ABSX, M, VM, BIT_TEST(0))

SHIFT(0A, 06, 0E, 16, 1E, LEFT(0))
SHIFT(2A, 26, 2E, 36, 3E, LEFT(c))
SHIFT(4A, 46, 4E, 56, 5E, RIGHT(0))
SHIFT(6A, 66, 6E, 76, 7E, RIGHT(c))
SHIFT(1A, E6, EE, F6, FE, STEP_Q(1))
SHIFT(3A, C6, CE, D6, DE, STEP_Q(-1))
MODIFY(04, DP, SET_BITS(1)) MODIFY(0C, ABS, SET_BITS(1)) MODIFY(14, DP, SET_BITS(0)) MODIFY(1C, ABS, SET_BITS(0))

IMPLIED(E8, X, SET_X(x, x + 1)) IMPLIED(C8, X, SET_X(y, y + 1)) IMPLIED(CA, X, SET_X(x, x - 1)) IMPLIED(88, X, SET_X(y, y - 1))
IMPLIED(AA, X, SET_X(x, a)) IMPLIED(A8, X, SET_X(y, a)) IMPLIED(BA, X, SET_X(x, s)) IMPLIED(9B, X, SET_X(y, x)) IMPLIED(BB, X, SET_X(x, y))
IMPLIED(8A, M, SET_A(x)) IMPLIED(98, M, SET_A(y)) IMPLIED(9A, NE, s = x; MEND()) IMPLIED(1B, NE, s = a; MEND()) IMPLIED(3B, N, a = s; NZ16(a))
IMPLIED(5B, N, d = a; dcost = (d & 0xFF) ? IDLE : 0; NZ16(d)) IMPLIED(7B, N, a = d; NZ16(a))
IMPLIED(18, N, c = 0) IMPLIED(38, N, c = 1) IMPLIED(58, N, rest &= ~4u) IMPLIED(78, N, rest |= 4) IMPLIED(D8, N, rest &= ~8u) IMPLIED(F8, N, rest |= 8)
IMPLIED(B8, N, v = 0) IMPLIED(EA, N, (void)0) IMPLIED(EB, N, t += IDLE; a = a >> 8 | (a & 0xFF) << 8; NZ8(a))
IN_N(OP(42) { t += 2 * cc; NEXT(2); })

IN_NE(OP(C2) { uint32_t bits = O8; t += 2 * cc + IDLE; if (VE || bits & 0xCF) SET_P(PACK(mx & 2, mx & 1) & ~bits); else { mx = mx & ~(bits >> 4); SET_TABLE(); } NEXT(2); })
IN_NE(OP(E2) { uint32_t bits = O8; t += 2 * cc + IDLE; if (VE || bits & 0xCF) SET_P(PACK(mx & 2, mx & 1) | bits); else { mx = mx | bits >> 4; if (mx & 1) x &= 0xFF, y &= 0xFF; SET_TABLE(); } NEXT(2); })
IN_NE(OP(FB) { uint32_t old = e; t += cc + IDLE; e = c, c = old; if (e) { mx = 3, x &= 0xFF, y &= 0xFF, s = 0x100 | (s & 0xFF); } else mx = mx;
    SET_TABLE(); if (e && !started_in_e && m->traps) { i++, n++; STOP(EMULATION); } NEXT(1); })

IN_ME(OP(48) { t += cc + IDLE; if (VM) PUSH8(a & 0xFF); else PUSH16(a); NEXT(1); })
IN_XE(OP(DA) { t += cc + IDLE; if (VX) PUSH8(x); else PUSH16(x); NEXT(1); })
IN_XE(OP(5A) { t += cc + IDLE; if (VX) PUSH8(y); else PUSH16(y); NEXT(1); })
IN_NE(OP(08) { t += cc + IDLE; PUSH8(PACK(mx & 2, mx & 1)); NEXT(1); })
IN_NE(OP(8B) { t += cc + IDLE; PUSH8(db >> 16); NEXT(1); })
IN_NE(OP(4B) { t += cc + IDLE; PUSH8(pb >> 16); NEXT(1); })
IN_NE(OP(0B) { t += cc + IDLE; PUSH16_NEW(d); MEND(); NEXT(1); })
IN_ME(OP(68) { uint32_t q; t += cc + 2 * IDLE; if (VM) PULL8(q, 0x68); else PULL16(q, 0x68); SET_A(q); NEXT(1); })
IN_XE(OP(FA) { uint32_t q; t += cc + 2 * IDLE; if (VX) PULL8(q, 0xFA); else PULL16(q, 0xFA); SET_X(x, q); NEXT(1); })
IN_XE(OP(7A) { uint32_t q; t += cc + 2 * IDLE; if (VX) PULL8(q, 0x7A); else PULL16(q, 0x7A); SET_X(y, q); NEXT(1); })
IN_NE(OP(28) { uint32_t q; t += cc + 2 * IDLE; PULL8(q, 0x28); SET_P(q); NEXT(1); })
IN_NE(OP(AB) { uint32_t q; t += cc + 2 * IDLE; PULL8_NEW(q, 0xAB); MEND(); db = q << 16; NZ8(q); NEXT(1); })
IN_NE(OP(2B) { t += cc + 2 * IDLE; PULL16_NEW(d, 0x2B); MEND(); dcost = (d & 0xFF) ? IDLE : 0; NZ16(d); NEXT(1); })
IN_NE(OP(F4) { t += 3 * cc; PUSH16_NEW(O16); MEND(); NEXT(3); })
IN_NE(OP(D4) { uint32_t q; t += 2 * cc + dcost; RD16(q, (d + O8) & 0xFFFF, 1, O8); PUSH16_NEW(q); MEND(); NEXT(2); })
IN_NE(OP(62) { t += 3 * cc + IDLE; PUSH16_NEW((lo + i + 3 + O16) & 0xFFFF); MEND(); NEXT(3); })

BRANCH(10, !(nz & 0x80008000u)) BRANCH(30, nz & 0x80008000u) BRANCH(50, !v) BRANCH(70, v)
BRANCH(90, !c) BRANCH(B0, c) BRANCH(D0, nz & 0xFFFF) BRANCH(F0, !(nz & 0xFFFF)) BRANCH(80, 1)
IN_N(OP(82) { t += 3 * cc + IDLE; i = (lo + i + 3 + O16) & 0xFFFF; i -= lo; NEXT(0); })
IN_N(OP(4C) { t += 3 * cc; i = O16 - lo; NEXT(0); })
IN_N(OP(6C) { uint32_t q; t += 3 * cc; RD16(q, O16, 1, HI); i = q - lo; NEXT(0); })
IN_N(OP(7C) { uint32_t q, at; t += 3 * cc + IDLE; at = (O16 + x) & 0xFFFF; RD16_BANK(q, pb, at, HI); i = q - lo; NEXT(0); })
IN_N(OP(5C) { t += 4 * cc; FAR((uint32_t)code[i + 3], O16); })
IN_N(OP(DC) { uint32_t q, at = O16, bank; t += 3 * cc; RD16(q, at, 1, HI); RD8(bank, (at + 2) & 0xFFFF, q >> 8); FAR(bank, q); })
IN_NE(OP(20) { uint32_t q = O16; t += 3 * cc + IDLE; PUSH16((lo + i + 2) & 0xFFFF); i = q - lo; NEXT(0); })
IN_NE(OP(FC) { uint32_t q, at, high; t += 2 * cc; PUSH16_NEW((lo + i + 2) & 0xFFFF); MEND();
    if (span) high = HI, t += cc; else RD8(high, pb | ((lo + 2) & 0xFFFF), O8);
    t += IDLE; at = ((O8 | high << 8) + x) & 0xFFFF; RD16_BANK(q, pb, at, high); i = q - lo; NEXT(0); })
IN_NE(OP(22) { uint32_t q = O16, bank; t += 3 * cc; PUSH8_NEW(pb >> 16); t += IDLE;
    if (span) bank = code[i + 3], t += cc; else RD8(bank, pb | ((lo + 3) & 0xFFFF), pb >> 16);
    PUSH16_NEW((lo + i + 3) & 0xFFFF); MEND(); FAR(bank, q); })
IN_NE(OP(60) { uint32_t q; t += cc + 2 * IDLE; PULL16(q, 0x60); t += IDLE; i = ((q + 1) & 0xFFFF) - lo; NEXT(0); })
IN_NE(OP(6B) { uint32_t q, bank; t += cc + 2 * IDLE; PULL16_NEW(q, 0x6B); PULL8_NEW(bank, q >> 8); MEND(); q = (q + 1) & 0xFFFF; FAR(bank, q); })
IN_NE(OP(40) { uint32_t q, flags, bank = pb >> 16; t += cc + 2 * IDLE; PULL8(flags, 0x40); SET_P(flags); PULL16(q, flags);
    if (!VE) PULL8(bank, q >> 8); i = q, lo = 0, pb = bank << 16; goto jumped; })
INTERRUPT(00, BRK, 0xFFE6, 0xFFFE)
INTERRUPT(02, COP, 0xFFE4, 0xFFF4)
MOVE(54, 1)
MOVE(44, -1)
IN_N(OP(CB) { t += cc + 2 * IDLE; i++, n++; STOP(WAI); })
IN_N(OP(DB) { t += cc + 2 * IDLE; i++, n++; STOP(STP); })
