/* Start states (twin of starts.py: the same numbers) and the comparison of two programs over many of them (twin of equal.py). */

enum { A_LOW, A_HIGH, A_WIDE, INDEX_X, INDEX_Y, FLAG, DIRECT_PAGE, DATA_BANK, BYTES, FILL, PHASE };
enum { CORNERS = 10, STOP_KINDS = 10, TOUCHED = 1024, SHARED = 0x10000 };

static const uint16_t CORNER[CORNERS] = {0x0000, 0xFFFF, 0x7F7F, 0x8080, 0x7FFF, 0x8000, 0x0001, 0x00FF, 0x0100, 0xFFFE};
static const uint16_t DIRECT_PAGES[8] = {0x0000, 0x0001, 0x0100, 0x00FF, 0x1000, 0x0002, 0x1E80, 0x0010};
static const uint8_t DATA_BANKS[4] = {0x00, 0x7E, 0x80, 0x7F};

typedef struct { uint32_t kind, target, size, low, span, declared; } Item;
typedef struct { const uint8_t *bytes; uint32_t size, sentinel, pc, reserved; } Program;
typedef struct {
    Program program[2];
    uint32_t programs, in_rom, offset, region; /* where both lie, and how many bytes are exchanged */
    const Item *items;
    uint32_t n_items, first, total, exhaustive;
    const uint16_t *pool;              /* values worth trying: constants of both programs and their neighbors */
    uint32_t n_pool, strict;           /* strict: reads with side effects count too */
    uint64_t seed;
    Regs base;                         /* what every start state has */
    Regs mask;                         /* bits of the end registers that are compared */
    uint32_t budget, stops, s_end, exit_p, exit_mask, log; /* allowed stops; S at the end; widths at exit; compare register writes? */
} Job;
typedef struct {
    uint64_t cycles_min, cycles_max, cycles_sum, clocks_min, clocks_max, clocks_sum, instructions;
    uint32_t stops[STOP_KINDS], n_touched, early, touched[TOUCHED];
} Tally;
typedef struct { Tally side[2]; uint32_t states, fault; } Outcome; /* fault: 0 none, 1 first program, 2 second, 3 they differ */

/* The state being drawn: what all its items share is worked out once. */
typedef struct { const Job *job; uint64_t hash; uint32_t state, shared; } Draw;

static inline uint64_t hash_of(const Draw *draw, uint64_t item) { return mix(draw->hash + (item + 1) * 0xD1B54A32D192ED03u); }

/* A word worth trying. `shared` is the same for all items of a state, so that operands come out equal or one apart. */
static inline uint32_t word_of(const Draw *draw, uint64_t bits, uint32_t state) {
    const Job *job = draw->job;
    uint32_t low = (uint32_t)(bits >> 8) & 0xFFFF, high = (uint32_t)(bits >> 32) & 0xFFFF;
    if (state < CORNERS) return CORNER[state];
    switch (bits & 7) {
    case 0: return CORNER[low % CORNERS];
    case 1: return ((1u << (low & 15)) + (low >> 4) % 3 - 1) & 0xFFFF;
    case 2:
    case 3: return job->n_pool ? job->pool[low % job->n_pool] : high;
    case 4: return (draw->shared + low % 3 - 1) & 0xFFFF;
    default: return high;
    }
}

static Draw begin_draw(const Job *job, uint32_t state) {
    Draw draw = {job, mix(job->seed * 0x9E3779B97F4A7C15u + state + 1), state, 0};
    uint64_t bits = hash_of(&draw, SHARED);
    draw.shared = bits & 1 && job->n_pool ? job->pool[((uint32_t)(bits >> 8) & 0xFFFF) % job->n_pool] : bits >> 32 & 0xFFFF;
    return draw;
}

static uint32_t item_value(const Draw *draw, uint32_t index) {
    const Item *item = &draw->job->items[index];
    uint64_t bits = hash_of(draw, index);
    uint32_t state = draw->state, drawn = (uint32_t)(bits >> 32), value;
    if (item->kind >= DIRECT_PAGE && item->kind != BYTES) return item->low + drawn % item->span;
    if (item->span && (state < CORNERS || !(bits & 7)))
        return item->low + (state < CORNERS ? state & 1 : bits >> 8 & 1 ? 1 : 0) * (item->span - 1);
    value = word_of(draw, bits, state) & (item->size == 1 ? 0xFF : 0xFFFF);
    if (!item->span || value - item->low < item->span) return value;
    return item->low + drawn % item->span;
}

static void item_bytes(const Draw *draw, uint32_t index, uint8_t *out) {
    const Item *item = &draw->job->items[index];
    uint64_t bits = hash_of(draw, index);
    uint32_t odd = item->size > 2 && draw->state >= CORNERS ? bits >> 63 : 0;
    for (uint32_t at = 0, word = 0; at < item->size; at++) {
        uint32_t place = at + odd;
        if (!at || !(place & 1)) word = word_of(draw, item->size == 2 ? bits : mix(bits + (place >> 1) + 1), draw->state);
        out[at] = (uint8_t)(word >> 8 * (place & 1));
    }
}

/* The next digit of a number that counts through all inputs; the usual bases are powers of two. */
static uint32_t next_digit(const Item *item, uint64_t *digits) {
    uint64_t all = *digits;
    if (!item->span) {
        uint32_t bits = item->size >= 4 ? 32 : 8 * item->size;
        *digits = all >> bits;
        return (uint32_t)(all & (((uint64_t)1 << bits) - 1));
    }
    *digits = all / item->span;
    return (uint32_t)(all % item->span);
}

/* Make a start state: registers into r, memory into the arena (its items are inputs already). */
static void make_start(Machine *m, const Job *job, uint32_t state, Regs *r) {
    const Draw draw = begin_draw(job, state);
    uint64_t digits = state;
    uint32_t corner = state < CORNERS;
    *r = job->base;
    for (uint32_t k = 0; k < job->n_items; k++) {
        const Item *item = &job->items[k];
        uint32_t value;
        if (item->kind == FLAG && !(job->exhaustive && item->declared)) { /* half of the items: without a branch that is hard to guess */
            r->p |= (uint8_t)(item->target & (0 - ((corner ? state : (uint32_t)(hash_of(&draw, k) >> 32)) & 1)));
            continue;
        }
        if (job->exhaustive && item->declared) {
            value = item->low + next_digit(item, &digits);
        } else if (item->kind == BYTES && !item->span) {
            item_bytes(&draw, k, m->arena + item->target);
            continue;
        } else if (item->kind == FILL) {
            uint64_t bits = hash_of(&draw, k);
            m->fill = (bits & ~(uint64_t)0xFFFF) | word_of(&draw, mix(bits), CORNERS) | (uint64_t)1 << 31;
            continue;
        } else if (item->kind == PHASE) {
            m->phase = hash_of(&draw, k) % (LINES * LINE_CLOCKS);
            continue;
        } else {
            value = item_value(&draw, k);
        }
        switch (item->kind) {
        case A_LOW: r->a = (uint16_t)((r->a & 0xFF00) | (value & 0xFF)); break;
        case A_HIGH: r->a = (uint16_t)((r->a & 0xFF) | (value & 0xFF) << 8); break;
        case A_WIDE: r->a = (uint16_t)value; break;
        case INDEX_X: r->x = (uint16_t)value; break;
        case INDEX_Y: r->y = (uint16_t)value; break;
        case FLAG: if (value) r->p |= (uint8_t)item->target; break;
        case DIRECT_PAGE: r->d = DIRECT_PAGES[value & 7]; break;
        case DATA_BANK: r->db = DATA_BANKS[value & 3]; break;
        default:
            for (uint32_t at = 0; at < item->size; at++) m->arena[item->target + at] = at < 4 ? (uint8_t)(value >> 8 * at) : 0;
        }
    }
    if (r->p & 0x10) r->x &= 0xFF, r->y &= 0xFF;
}

static void tally(Machine *m, Tally *side, uint8_t noted_bit) {
    uint64_t cycles = m->t >> 32, clocks = clocks_of(m);
    uint32_t seen = side->stops[0];
    for (uint32_t k = 1; k < STOP_KINDS; k++) seen += side->stops[k];
    if (!seen || cycles < side->cycles_min) side->cycles_min = cycles;
    if (!seen || clocks < side->clocks_min) side->clocks_min = clocks;
    if (cycles > side->cycles_max) side->cycles_max = cycles;
    if (clocks > side->clocks_max) side->clocks_max = clocks;
    side->cycles_sum += cycles, side->clocks_sum += clocks, side->instructions += m->instructions;
    side->stops[m->stop]++, side->early += m->early;
    for (uint32_t k = 0; k < m->noted.n; k++) {
        uint32_t at = m->noted.at[k];
        if (m->shadow[at] & noted_bit) continue;
        if (side->n_touched < TOUCHED) m->shadow[at] |= noted_bit, side->touched[side->n_touched] = at;
        side->n_touched++;
    }
}

static int keeps(const Job *job, const Machine *m, const Regs *end) {
    if (m->out_of_memory || !(job->stops >> m->stop & 1)) return 0;
    if (job->s_end != 0x10000 && end->s != job->s_end) return 0;
    return !((end->p ^ job->exit_p) & job->exit_mask);
}

static int arithmetic(uint32_t write) { return write >> 8 >= 0x4202 && write >> 8 <= 0x4206; }

/* Entries that do not count: in order, setting up the multiplier or divider; without order, every write. */
static int passed_over(uint32_t entry, uint32_t ordered) { return !(entry >> 24) && (!ordered || arithmetic(entry)); }

static int uses_arithmetic(const uint32_t *log, uint32_t n) {
    for (uint32_t k = 0; k < n; k++)
        if (arithmetic(log[k])) return 1;
    return 0;
}

static int same_log(const uint32_t *first, uint32_t n, const uint32_t *second, uint32_t k, uint32_t ordered) {
    uint32_t one = 0, two = 0;
    if (ordered && uses_arithmetic(first, n) != uses_arithmetic(second, k)) return 0;
    for (;;) {
        while (one < n && passed_over(first[one], ordered)) one++;
        while (two < k && passed_over(second[two], ordered)) two++;
        if (one == n || two == k) return one == n && two == k;
        if (first[one++] != second[two++]) return 0;
    }
}

static int same_registers(const Regs *one, const Regs *two, const Regs *mask) {
    return !(((one->a ^ two->a) & mask->a) | ((one->x ^ two->x) & mask->x) | ((one->y ^ two->y) & mask->y) |
             ((one->d ^ two->d) & mask->d) | ((one->db ^ two->db) & mask->db) | ((one->p ^ two->p) & mask->p));
}

/* The memory effect of the run that just ended, against the kept (offset, value) pairs of the other one. */
static int same_memory(const Machine *m, const List *kept) {
    for (uint32_t k = 0; k < kept->n; k += 2)
        if (peek(m, kept->at[k]) != kept->at[k + 1]) return 0;
    for (uint32_t k = 0; k < m->n_undo; k++) {
        uint32_t at = m->undo[k].offset;
        if ((m->shadow[at] & (COMPARED | ORIGINAL)) == COMPARED && m->arena[at] != (uint8_t)m->undo[k].old) return 0;
    }
    return 1;
}

static void keep_effect(Machine *m, List *kept, List *log) {
    kept->n = log->n = 0;
    for (uint32_t k = 0; k < m->n_undo; k++) {
        uint32_t at = m->undo[k].offset;
        if (m->shadow[at] & COMPARED) push_list(m, kept, at), push_list(m, kept, m->arena[at]);
    }
    for (uint32_t k = 0; k < m->io.n; k++) push_list(m, log, m->io.at[k]);
}

/* Copy a program to its place; in RAM its own bytes are defined, and those behind a shorter one are as they were (`under`). */
static void load_program(Machine *m, const Job *job, uint32_t which, const List *under) {
    memcpy((job->in_rom ? m->rom : m->arena) + job->offset, job->program[which].bytes, job->region);
    for (uint32_t at = 0; at < under->n / 2; at++)
        m->shadow[job->offset + at] = (uint8_t)(under->at[2 * at] | (at < job->program[which].size ? DEFINED | INPUT : 0));
}

/* What lies in RAM where the programs go: flags and bytes, kept and put back. */
static void under_kept(Machine *m, const Job *job, List *under, int put_back) {
    for (uint32_t at = 0; !job->in_rom && at < job->region; at++) {
        uint32_t place = job->offset + at;
        if (!put_back) push_list(m, under, m->shadow[place]), push_list(m, under, m->arena[place]);
        else if (2 * at + 1 < under->n) m->shadow[place] = (uint8_t)under->at[2 * at], m->arena[place] = (uint8_t)under->at[2 * at + 1];
    }
}

static void run_program(Machine *m, const Job *job, uint32_t which, Regs *r) {
    const Program *program = &job->program[which];
    r->pc = (uint16_t)program->pc;
    run_once(m, r, program->sentinel, job->budget, 1);
}

/* One state: 0 when both have the same effect. */
static uint32_t compare_state(Machine *m, const Job *job, uint32_t state, Outcome *out, List *lists) {
    List *kept = &lists[0], *log = &lists[1], *under = &lists[2];
    Regs start, first, second;
    uint32_t fault = 0, writes;
    make_start(m, job, state, &start);
    load_program(m, job, 0, under);
    first = second = start;
    run_program(m, job, 0, &first);
    tally(m, &out->side[0], NOTED_A);
    if (!keeps(job, m, &first)) fault = 1;
    keep_effect(m, kept, log), writes = m->io_writes;
    restore(m);
    if (job->programs < 2) return fault;
    for (uint32_t k = 0; k < kept->n; k += 2) m->shadow[kept->at[k]] |= ORIGINAL;
    load_program(m, job, 1, under);
    run_program(m, job, 1, &second);
    tally(m, &out->side[1], NOTED_B);
    if (fault) ;
    else if (!keeps(job, m, &second)) fault = 2;
    else if (!same_registers(&first, &second, &job->mask) || !same_memory(m, kept)) fault = 3;
    else if ((job->log || job->strict) && !same_log(log->at, log->n, m->io.at, m->io.n, job->log)) fault = 3;
    else if (job->log && writes > IO_LOG_LIMIT && writes != m->io_writes) fault = 3;
    for (uint32_t k = 0; k < kept->n; k += 2) m->shadow[kept->at[k]] &= ~ORIGINAL;
    restore(m);
    return fault;
}

static int job_fits(const Machine *m, const Job *job) {
    uint32_t whole = job->in_rom ? m->rom_size : m->arena_size;
    if (job->offset > whole || job->region > whole - job->offset) return 0;
    for (uint32_t k = 0; k < job->n_items; k++) {
        const Item *item = &job->items[k];
        if (item->kind == BYTES && (item->target > m->arena_size || item->size > m->arena_size - item->target)) return 0;
        if (item->kind != BYTES && item->size > 4) return 0;
    }
    return job->programs == 1 || job->programs == 2;
}

/* The bytes under the inputs: kept before the first start state (put = 0), put back after the last. */
static void inputs_kept(Machine *m, const Job *job, List *kept, int put_back) {
    uint32_t next = 0;
    for (uint32_t k = 0; k < job->n_items; k++) {
        const Item *item = &job->items[k];
        for (uint32_t at = 0; item->kind == BYTES && at < item->size; at++, next++) {
            if (!put_back) push_list(m, kept, m->arena[item->target + at]);
            else if (next < kept->n) m->arena[item->target + at] = (uint8_t)kept->at[next];
        }
    }
}

static void forget_touched(Machine *m, const Outcome *out) {
    for (uint32_t side = 0; side < 2; side++)
        for (uint32_t k = 0; k < out->side[side].n_touched && k < TOUCHED; k++)
            m->shadow[out->side[side].touched[k]] &= ~(NOTED_A | NOTED_B);
}

/* Run one program, or compare two, from many start states; stops at the first fault. -1: the job does not fit the machine. */
EXPORT int afs_compare(Machine *m, const Job *job, Outcome *out) {
    List lists[3] = {{0, 0, 0}, {0, 0, 0}, {0, 0, 0}}, inputs = {0, 0, 0}; /* effect, register log, RAM under the code */
    memset(out, 0, sizeof *out);
    if (!job_fits(m, job)) return -1;
    inputs_kept(m, job, &inputs, 0), under_kept(m, job, &lists[2], 0);
    for (uint32_t state = 0; state < job->total && !out->fault; state++) {
        out->fault = compare_state(m, job, job->first + state, out, lists);
        out->states++;
    }
    forget_touched(m, out);
    m->fill = m->phase = 0;
    under_kept(m, job, &lists[2], 1), inputs_kept(m, job, &inputs, 1);
    free(lists[0].at), free(lists[1].at), free(lists[2].at), free(inputs.at);
    return m->out_of_memory ? -2 : 0;
}

/* The start state with a number, as afs_compare makes it, and the bytes of its inputs: for tests that hold it to starts.py. */
EXPORT int afs_start(Machine *m, const Job *job, uint32_t state, Regs *out, uint8_t *bytes) {
    List inputs = {0, 0, 0};
    if (!job_fits(m, job)) return -1;
    inputs_kept(m, job, &inputs, 0);
    make_start(m, job, state, out);
    for (uint32_t k = 0; k < job->n_items; k++)
        for (uint32_t at = 0; job->items[k].kind == BYTES && at < job->items[k].size; at++)
            *bytes++ = m->arena[job->items[k].target + at];
    for (uint32_t at = 0; at < 8; at++) *bytes++ = (uint8_t)(m->fill >> 8 * at);
    for (uint32_t at = 0; at < 8; at++) *bytes++ = (uint8_t)(m->phase >> 8 * at);
    m->fill = m->phase = 0;
    inputs_kept(m, job, &inputs, 1);
    free(inputs.at);
    return 0;
}
