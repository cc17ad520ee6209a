/* Compares two routines on states drawn here, by none of the product's code for start states: for bench/mutants.py.
 * It includes the CPU core to run them, and its comparison of effects. */
#include "cpu.c"

typedef struct { uint32_t offset, size, low, span; } Input; /* memory that the contract lets a routine read; span 0: any value */

static uint64_t next(uint64_t *s) {
    *s ^= *s << 13, *s ^= *s >> 7, *s ^= *s << 17;
    return *s * 0x2545F4914F6CDD1Du >> 11;
}

static uint8_t odd_byte(uint64_t *s) {
    static const uint8_t odd[8] = {0x00, 0x01, 0x7F, 0x80, 0xFE, 0xFF, 0x10, 0x0F};
    return odd[next(s) & 7];
}

/* A byte of one of the two programs, or one beside it: constants stand among them. */
static uint8_t code_byte(const Job *job, uint64_t *s) {
    const Program *program = &job->program[next(s) & 1];
    return (uint8_t)(program->bytes[next(s) % program->size] + next(s) % 3 - 1);
}

static void draw_memory(Machine *m, const Job *job, const Input *inputs, uint32_t n, uint32_t state, uint64_t *s) {
    uint32_t style = next(s) % 7;
    for (uint32_t k = 0; k < n; k++) {
        const Input *in = &inputs[k];
        uint8_t *at = m->arena + in->offset;
        for (uint32_t i = 0; i < in->size; i++) {
            uint8_t value = (uint8_t)next(s);
            if (style == 1) value = odd_byte(s);
            else if (style == 2 && k) value = m->arena[inputs[0].offset + i % inputs[0].size];
            else if (style == 3) value = (uint8_t)((state * 0x9E3779B1u >> 16) + k * 77 >> 0) ^ (uint8_t)(i * state);
            else if (style == 4 || (style == 5 && next(s) & 1)) value = code_byte(job, s);
            at[i] = value;
        }
        if (style == 2 && k && next(s) & 1) at[0] = (uint8_t)(at[0] + (next(s) & 2) - 1);
        if (style == 6 && in->size <= 2) at[0] = (uint8_t)state, at[in->size - 1] = (uint8_t)(in->size > 1 ? state >> 8 : state);
        if (!in->span) continue;
        uint32_t value = at[0] | (in->size > 1 ? (uint32_t)at[1] << 8 : 0);
        value = in->low + value % in->span;
        at[0] = (uint8_t)value;
        if (in->size > 1) at[1] = (uint8_t)(value >> 8);
    }
}

static uint16_t draw_word(const Job *job, uint64_t *s) {
    switch (next(s) % 4) {
    case 0: return (uint16_t)(odd_byte(s) | odd_byte(s) << 8);
    case 1: return (uint16_t)(code_byte(job, s) | code_byte(job, s) << 8);
    default: return (uint16_t)next(s);
    }
}

/* The first state on which the two differ, from 1; 0: none; -1: the original itself breaks the contract. */
EXPORT int32_t judge_pair(Machine *m, const Job *job, const Input *inputs, uint32_t n, uint32_t open, uint32_t states, uint64_t seed) {
    List kept = {0, 0, 0}, log = {0, 0, 0}, under = {0, 0, 0};
    uint64_t s = seed | 1;
    int32_t found = 0;
    for (uint32_t state = 0; state < states && !found; state++) {
        Regs start = job->base, first, second;
        if (state % 2048 == 0)
            for (uint32_t at = 0; at < 0x20000; at += 4) {
                uint32_t value = (uint32_t)next(&s);
                if (at >= 0x200 || at < 0x100) memcpy(m->arena + at, &value, 4);
            }
        draw_memory(m, job, inputs, n, state, &s);
        start.a = draw_word(job, &s), start.x = draw_word(job, &s), start.y = draw_word(job, &s);
        start.p = (uint8_t)((start.p & ~0xC7) | (next(&s) & 0xC7) | (next(&s) & open));
        if (start.p & 0x10) start.x &= 0xFF, start.y &= 0xFF;
        load_program(m, job, 0, &under);
        first = second = start;
        run_program(m, job, 0, &first);
        if (!keeps(job, m, &first)) found = -1;
        keep_effect(m, &kept, &log);
        restore(m);
        for (uint32_t k = 0; k < kept.n; k += 2) m->shadow[kept.at[k]] |= ORIGINAL;
        load_program(m, job, 1, &under);
        run_program(m, job, 1, &second);
        if (!found && (!keeps(job, m, &second) || !same_registers(&first, &second, &job->mask) || !same_memory(m, &kept) ||
                       !same_log(log.at, log.n, m->io.at, m->io.n, job->log)))
            found = (int32_t)state + 1;
        for (uint32_t k = 0; k < kept.n; k += 2) m->shadow[kept.at[k]] &= (uint8_t)~ORIGINAL;
        restore(m);
    }
    free(kept.at), free(log.at), free(under.at);
    return found;
}
