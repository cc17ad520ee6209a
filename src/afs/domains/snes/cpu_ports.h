/* The registers: twin of ports.py, same names, same order. */

static const uint8_t DMA_PATTERN[8][4] = {{0, 0, 0, 0}, {0, 1, 0, 1}, {0, 0, 0, 0}, {0, 0, 1, 1},
                                          {0, 1, 2, 3}, {0, 1, 0, 1}, {0, 0, 0, 0}, {0, 0, 1, 1}};
static const uint16_t VRAM_STEP[4] = {1, 32, 128, 128};
enum { LINE_CLOCKS = 1364, LINES = 262, VBLANK_LINE = 225 };

static uint8_t port_read(Machine *m, uint32_t port, uint64_t t);
static void port_write(Machine *m, uint32_t port, uint8_t value, uint64_t t);

static uint64_t clock_at(const Machine *m, uint64_t t) { return (t >> 32) * 6 + (uint32_t)t * (uint64_t)2 + m->stall; }

static uint32_t vram_word(const Machine *m) {
    uint32_t at = m->ports.vram_at;
    switch (m->ports.vmain >> 2 & 3) {
    case 1: at = (at & 0xFF00) | (at << 3 & 0xF8) | (at >> 5 & 7); break;
    case 2: at = (at & 0xFE00) | (at << 3 & 0x1F8) | (at >> 6 & 7); break;
    case 3: at = (at & 0xFC00) | (at << 3 & 0x3F8) | (at >> 7 & 7); break;
    }
    return VRAM + (at & 0x7FFF) * 2;
}

static void vram_prefetch(Machine *m) {
    uint32_t at = m->ports.vlatch_at = vram_word(m);
    m->ports.vlatch = peek(m, at) | (uint32_t)peek(m, at + 1) << 8;
}

/* The latches hold anything before the code sets them. */
static void seed_ports(Machine *m) {
    Ports *q = &m->ports;
    if (!m->fill || q->seeded) return;
    q->seeded = 1;
    uint64_t one = mix(m->fill), two = mix(one + 1);
    q->product = one & 0xFFFF, q->quotient = one >> 16 & 0xFFFF, q->m7_a = one >> 32 & 0xFFFF, q->m7_b = one >> 48;
    q->vram_at = two & 0x7FFF, q->vmain = two >> 15 & 0x80, q->wm_at = two >> 16 & 0x1FFFF, q->oam_at = two >> 33 & 0x3FF;
    q->cg_at = two >> 43 & 0xFF, q->h_latch = two >> 51 & 0xFF, q->v_latch = two >> 56, q->vlatch = one >> 24 & 0xFFFF;
}

/* Does reading this register change something? */
static int has_side_effect(uint32_t port) {
    return (port >= 0x2137 && port <= 0x213D) || port == 0x213F || port == 0x2180 || port == 0x4210 || port == 0x4211 ||
           port == 0x4016 || port == 0x4017;
}


static void vram_next(Machine *m) { m->ports.vram_at = (m->ports.vram_at + VRAM_STEP[m->ports.vmain & 3]) & 0xFFFF; }

static uint32_t oam_byte(const Machine *m) {
    return m->ports.oam_at < 0x200 ? m->ports.oam_at : 0x200 | (m->ports.oam_at & 0x1F);
}

static void alu_advance(Machine *m, uint64_t cycle) {
    Ports *q = &m->ports;
    uint64_t gone = cycle - q->alu_at;
    uint32_t steps = gone < q->busy ? (uint32_t)gone : q->busy;
    q->alu_at = cycle, q->busy -= steps;
    while (steps--) {
        if (q->divides) {
            q->quotient = q->quotient << 1 & 0xFFFF, q->shift >>= 1;
            if (q->product >= q->shift) q->product -= q->shift, q->quotient |= 1;
        } else {
            q->product = (q->product + (q->quotient & 1 ? q->shift : 0)) & 0xFFFF;
            q->quotient >>= 1, q->shift = q->shift << 1 & 0xFFFF;
        }
    }
}

static int read_memory(Machine *m, uint32_t port, uint8_t *value) {
    Ports *q = &m->ports;
    switch (port) {
    case 0x2180: *value = get(m, WRAM + q->wm_at), q->wm_at = (q->wm_at + 1) & 0x1FFFF; return 1;
    case 0x2138: *value = get(m, OAM + oam_byte(m)), q->oam_at = (q->oam_at + 1) & 0x3FF; return 1;
    case 0x213B:
        *value = get(m, CGRAM + q->cg_at * 2 + q->cg_flip);
        q->cg_at = (q->cg_at + q->cg_flip) & 0xFF, q->cg_flip ^= 1;
        return 1;
    case 0x2139:
    case 0x213A: {
        uint32_t high = port == 0x213A;
        get(m, q->vlatch_at + high);
        *value = (uint8_t)(high ? q->vlatch >> 8 : q->vlatch);
        if (high == q->vmain >> 7) vram_prefetch(m), vram_next(m);
        return 1;
    }
    }
    return 0;
}

static int read_counter(Machine *m, uint32_t port, uint64_t clock, uint8_t *value) {
    Ports *q = &m->ports;
    switch (port) {
    case 0x2137:
        q->h_latch = (uint32_t)(clock % LINE_CLOCKS / 4), q->v_latch = (uint32_t)(clock / LINE_CLOCKS % LINES);
        *value = (uint8_t)m->mdr;
        return 1;
    case 0x213C: q->h_flip ^= 1; *value = (uint8_t)(q->h_flip ? q->h_latch : (m->mdr & 0xFE) | q->h_latch >> 8); return 1;
    case 0x213D: q->v_flip ^= 1; *value = (uint8_t)(q->v_flip ? q->v_latch : (m->mdr & 0xFE) | q->v_latch >> 8); return 1;
    case 0x213F: q->h_flip = q->v_flip = 0, *value = (m->mdr & 0x20) | 3; return 1;
    }
    return 0;
}

static int read_cpu(Machine *m, uint32_t port, uint64_t cycle, uint64_t clock, uint8_t *value) {
    Ports *q = &m->ports;
    if (port == 0x4210) {
        uint64_t frame = (clock + (LINES - VBLANK_LINE) * LINE_CLOCKS) / ((uint64_t)LINES * LINE_CLOCKS);
        uint32_t over = q->console && clock / LINE_CLOCKS % LINES < VBLANK_LINE; /* the flag falls when the blank ends */
        *value = (uint8_t)((frame > q->nmi_seen && !over ? 0x80 : 0) | (m->mdr & 0x70) | 2), q->nmi_seen = frame;
    } else if (port == 0x4211) {
        *value = (uint8_t)(q->irq << 7 | (m->mdr & 0x7F)), q->irq = 0;
    } else if (port == 0x4212) {
        uint32_t line = (uint32_t)(clock / LINE_CLOCKS % LINES), dot = (uint32_t)(clock % LINE_CLOCKS / 4);
        uint32_t reading = line >= VBLANK_LINE && line < VBLANK_LINE + 3;
        *value = (uint8_t)((line >= VBLANK_LINE) << 7 | (dot < 1 || dot >= 274) << 6 | (m->mdr & 0x3E) | reading);
    } else if (port == 0x4213) {
        return 0;
    } else {
        alu_advance(m, cycle);
        m->early += q->busy > 0;
        if (!((m->shadow[PORTS + 0x4203] | m->shadow[PORTS + 0x4206]) & WRITTEN)) note(m, PORTS + port);
        uint32_t word = port < 0x4216 ? q->quotient : q->product;
        *value = (uint8_t)(port & 1 ? word >> 8 : word);
    }
    return 1;
}

/* Registers of a booted machine: the sound processor's boot ROM (AA BB, then it echoes), and a pad read bit by bit. */
static int read_console(Machine *m, uint32_t port, uint8_t *value) {
    Ports *q = &m->ports;
    if (port >= 0x2140 && port < 0x2180) {
        uint32_t number = port & 3;
        if (!q->apu) q->apu = 1;
        *value = q->apu == 1 && number < 2 ? (uint8_t)(number ? 0xBB : 0xAA) : m->arena[PORTS + 0x2140 + number];
        return 1;
    }
    if (port == 0x4016) {
        *value = (uint8_t)((m->mdr & 0xFC) | (q->pad_shift >> 15 & 1)), q->pad_shift = (q->pad_shift << 1 | 1) & 0xFFFF;
        return 1;
    }
    if (port == 0x4017) { *value = (uint8_t)((m->mdr & 0xE0) | 0x1C); return 1; }
    if (port == 0x4218 || port == 0x4219) { *value = (uint8_t)(q->pad >> (port & 1 ? 8 : 0)); return 1; }
    if (port > 0x4219 && port < 0x4220) { *value = 0; return 1; }
    return 0;
}

static void write_console(Machine *m, uint32_t port, uint8_t value) {
    Ports *q = &m->ports;
    if (port >= 0x2140 && port < 0x2180) {
        m->arena[PORTS + 0x2140 + (port & 3)] = value;
        if (!(port & 3) && value == 0xCC) q->apu = 2;
        else if (!q->apu) q->apu = 1;
    } else if (port == 0x4016 && value & 1) {
        q->pad_shift = q->pad;
    } else if (port == 0x4200 || (port >= 0x4207 && port <= 0x420A) || port == 0x420C) {
        q->wakes = 1, m->budget = 0, m->limit = 0; /* the driver looks at it */
    }
}

static int modeled(Machine *m, uint32_t port, uint64_t t, uint8_t *value) {
    if (m->ports.console && read_console(m, port, value)) return 1;
    if (port >= 0x4300 && port < 0x4380) { *value = get(m, PORTS + port); return 1; }
    if (port >= 0x4210 && port <= 0x4217) return read_cpu(m, port, t >> 32, clock_at(m, t) + m->phase, value);
    if (port >= 0x2134 && port <= 0x2136) {
        int32_t product = (int32_t)(int16_t)m->ports.m7_a * (int8_t)(m->ports.m7_b >> 8);
        *value = (uint8_t)((uint32_t)product >> (port - 0x2134) * 8);
        return 1;
    }
    return read_memory(m, port, value) || read_counter(m, port, clock_at(m, t) + m->phase, value);
}

static uint8_t port_read(Machine *m, uint32_t port, uint64_t t) {
    uint8_t value;
    seed_ports(m);
    if (m->shadow[PORTS + port] & INPUT) return m->arena[PORTS + port];
    if (has_side_effect(port) && m->io_writes++ < IO_LOG_LIMIT) push_list(m, &m->io, 1u << 24 | port << 8);
    if (port >= 0x4210 && port <= 0x4212) note(m, PORTS + port);
    if (modeled(m, port, t, &value)) return value;
    note(m, PORTS + port);
    return (uint8_t)m->mdr;
}

static void write_vram(Machine *m, uint32_t port, uint8_t value) {
    Ports *q = &m->ports;
    if (port == 0x2115) {
        q->vmain = value;
    } else if (port <= 0x2117) {
        q->vram_at = port == 0x2116 ? (q->vram_at & 0xFF00) | value : (q->vram_at & 0xFF) | (uint32_t)value << 8;
        vram_prefetch(m);
    } else {
        uint32_t high = port - 0x2118;
        put(m, vram_word(m) + high, value);
        if (high == q->vmain >> 7) vram_next(m);
    }
}

static void write_oam(Machine *m, uint32_t port, uint8_t value) {
    Ports *q = &m->ports;
    if (port != 0x2104) {
        q->oam_at = (get(m, PORTS + 0x2102) | (get(m, PORTS + 0x2103) & 1u) << 8) << 1;
        return;
    }
    if (q->oam_at >= 0x200) put(m, OAM + oam_byte(m), value);
    else if (q->oam_at & 1) put(m, OAM + q->oam_at - 1, (uint8_t)q->oam_latch), put(m, OAM + q->oam_at, value);
    else q->oam_latch = value;
    q->oam_at = (q->oam_at + 1) & 0x3FF;
}

static void write_cgram(Machine *m, uint32_t port, uint8_t value) {
    Ports *q = &m->ports;
    if (port == 0x2121) {
        q->cg_at = value, q->cg_flip = 0;
    } else if (q->cg_flip) {
        put(m, CGRAM + q->cg_at * 2, (uint8_t)q->cg_latch), put(m, CGRAM + q->cg_at * 2 + 1, value);
        q->cg_at = (q->cg_at + 1) & 0xFF, q->cg_flip = 0;
    } else {
        q->cg_latch = value, q->cg_flip = 1;
    }
}

static void write_wram(Machine *m, uint32_t port, uint8_t value) {
    Ports *q = &m->ports;
    if (port == 0x2180) {
        put(m, WRAM + q->wm_at, value), q->wm_at = (q->wm_at + 1) & 0x1FFFF;
        return;
    }
    uint32_t shift = (port - 0x2181) * 8;
    q->wm_at = ((q->wm_at & ~(0xFFu << shift)) | (uint32_t)value << shift) & 0x1FFFF;
}

static void write_alu(Machine *m, uint32_t port, uint8_t value, uint64_t cycle) {
    Ports *q = &m->ports;
    alu_advance(m, cycle);
    if (port == 0x4203) {
        q->product = 0;
        if (!q->busy) q->quotient = (uint32_t)value << 8 | get(m, PORTS + 0x4202), q->shift = value, q->busy = 8, q->divides = 0;
    } else if (port == 0x4206) {
        q->product = get(m, PORTS + 0x4204) | (uint32_t)get(m, PORTS + 0x4205) << 8;
        if (!q->busy) q->shift = (uint32_t)value << 16, q->busy = 16, q->divides = 1;
    }
}

static uint8_t dma_read(Machine *m, uint32_t address) {
    const Page *page = &m->page[address >> 13];
    uint32_t low = address & 0x1FFF;
    if (page->kind == RAM) return get(m, page->base + low);
    if (page->kind != ROM) return (uint8_t)m->mdr;
    if (m->cdl) m->cdl[page->base + low] |= CDL_DATA;
    return m->rom[page->base + low];
}

static void dma_channel(Machine *m, uint32_t base, uint64_t t) {
    uint8_t set[7];
    for (uint32_t at = 0; at < 7; at++) set[at] = get(m, base + at);
    uint32_t control = set[0], target = set[1], low = set[2] | (uint32_t)set[3] << 8, bank = (uint32_t)set[4] << 16;
    uint32_t count = set[5] | (uint32_t)set[6] << 8, step = control & 8 ? 0 : control & 16 ? 0xFFFF : 1;
    if (!count) count = 0x10000;
    for (uint32_t index = 0; index < count; index++) {
        uint32_t port = 0x2100 | ((target + DMA_PATTERN[control & 7][index & 3]) & 0xFF);
        if (control & 0x80) {
            uint8_t value = port_read(m, port, t);
            const Page *page = &m->page[(bank | low) >> 13];
            if (page->kind == RAM) put(m, page->base + (low & 0x1FFF), value);
        } else {
            port_write(m, port, dma_read(m, bank | low), t);
        }
        low = (low + step) & 0xFFFF;
    }
    m->stall += 8 + 8 * (uint64_t)count;
    put(m, base + 2, (uint8_t)low), put(m, base + 3, (uint8_t)(low >> 8)), put(m, base + 5, 0), put(m, base + 6, 0);
}

static void port_write(Machine *m, uint32_t port, uint8_t value, uint64_t t) {
    seed_ports(m);
    if (m->io_writes++ < IO_LOG_LIMIT) push_list(m, &m->io, port << 8 | value);
    put(m, PORTS + port, value);
    if (m->ports.console) write_console(m, port, value);
    if (port >= 0x2115 && port <= 0x2119) write_vram(m, port, value);
    else if (port >= 0x2102 && port <= 0x2104) write_oam(m, port, value);
    else if (port == 0x2121 || port == 0x2122) write_cgram(m, port, value);
    else if (port >= 0x2180 && port <= 0x2183) write_wram(m, port, value);
    else if (port >= 0x4202 && port <= 0x4206) write_alu(m, port, value, t >> 32);
    else if (port == 0x420B) {
        if (value) m->stall += 8;
        for (uint32_t channel = 0; channel < 8; channel++)
            if (value >> channel & 1) dma_channel(m, PORTS + 0x4300 + channel * 16, t);
        set_limit(m);
    } else if (port == 0x420D) {
        if ((value & 1u) != m->fast) set_speed(m, value & 1), m->limit = 0; /* the run loop looks again */
    } else if (port == 0x210D || port == 0x210E || (port >= 0x211B && port <= 0x2120)) {
        uint32_t word = (uint32_t)value << 8 | m->ports.m7_latch;
        if (port == 0x211B) m->ports.m7_a = word;
        else if (port == 0x211C) m->ports.m7_b = word;
        m->ports.m7_latch = value;
    }
}
