/* A booted console: the run loop resumed where it stopped, and the single accesses that interrupts and HDMA are made of. When
 * they happen is decided in console.py, for both cores alike. */

typedef struct {
    uint64_t clock, cycles, instructions;
    uint32_t stop, n_noted, n_bus, reserved;
    const uint32_t *noted, *bus;
    uint8_t *arena, *cdl;
} Progress;

EXPORT uint64_t afs_clock(const Machine *m) { return clock_at(m, m->t); }

/* Run until a master clock, or until a register that decides about interrupts or HDMA was written (`stop` is BUDGET then, too). */
EXPORT int afs_resume(Machine *m, Regs *r, uint64_t until, Progress *out) {
    m->sentinel = 0xFFFFFFFF, m->traps = 0, m->ports.console = 1, m->ports.wakes = 0;
    m->stop = BUDGET, out->instructions = 0;
    while (m->stop == BUDGET && !m->ports.wakes && !m->out_of_memory) {
        uint64_t now = afs_clock(m);
        if (now >= until) break;
        m->budget = (m->t >> 32) + m->stall / 6 + (until - now) / 12 + 1;
        set_limit(m);
        run(m, r);
        out->instructions += m->instructions;
    }
    out->clock = afs_clock(m), out->cycles = m->t >> 32, out->stop = m->stop, out->n_noted = m->noted.n, out->n_bus = m->bus.n / 2;
    out->noted = m->noted.at, out->bus = m->bus.at, out->arena = m->arena, out->cdl = m->cdl;
    return m->out_of_memory ? -1 : 0;
}

EXPORT uint32_t afs_read(Machine *m, uint32_t address) {
    Timed got = slow_read(m, address & 0xFFFFFF, m->t, m->mdr);
    m->t = got.t;
    return (uint32_t)got.v;
}

EXPORT void afs_write(Machine *m, uint32_t address, uint32_t value) { m->t = slow_write(m, address & 0xFFFFFF, value & 0xFF, m->t); }

EXPORT void afs_idle(Machine *m, uint32_t cycles) { m->t += cycles * IDLE; }

/* Let time pass without the CPU: WAI, HDMA. */
EXPORT void afs_wait(Machine *m, uint64_t clocks) { m->stall += clocks; }

EXPORT uint32_t afs_dma_read(Machine *m, uint32_t address) { return dma_read(m, address & 0xFFFFFF); }

EXPORT void afs_port_write(Machine *m, uint32_t port, uint32_t value) { port_write(m, port & 0xFFFF, (uint8_t)value, m->t); }

/* Set a byte of the registers' memory without acting on it. */
EXPORT void afs_port_put(Machine *m, uint32_t port, uint32_t value) { put(m, PORTS + (port & 0x7FFF), (uint8_t)value); }

EXPORT uint32_t afs_irq(const Machine *m) { return m->ports.irq; }

EXPORT void afs_set_irq(Machine *m, uint32_t on) { m->ports.irq = on; }

EXPORT void afs_set_pad(Machine *m, uint32_t buttons) { m->ports.pad = buttons; }
