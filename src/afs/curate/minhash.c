/* Shingles, sketches and overlaps of texts: the inner loops of near-duplicate search, decontamination and selection.
 *
 * A text is bytes; a token is a run of letters, digits, `_ $ # %` and bytes above 127, ASCII letters in lower case.
 * A gram is `words` tokens in a row (a shorter text is one gram). `grams.py` does the same in numpy; tests compare them.
 * No state, no allocation that outlives a call; every function may run in several threads at once.
 */

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define BINS 128
#define ROWS 4
#define BANDS (BINS / ROWS)
#define BASE 0x9E3779B97F4A7C15ULL
#define FOLD 0xD6E8FEB86659FD93ULL
#define EMPTY 0xFFFFFFFFu
#define STEP 0x9E3779B1u

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

/* Where the loader can choose at run time, the wide loops exist twice. */
#if defined(__x86_64__) && defined(__linux__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define WIDE __attribute__((target_clones("avx2", "default")))
#else
#define WIDE
#endif

static inline uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xBF58476D1CE4E5B9ULL;
    x ^= x >> 27;
    x *= 0x94D049BB133111EBULL;
    return x ^ (x >> 31);
}

/* All ones when a byte is one of `n` from `first` on: in bytes only, so that a compiler makes wide loops of it. */
static inline uint8_t within(uint8_t c, uint8_t first, uint8_t n)
{
    uint8_t from = (uint8_t)(c - first);
    return from < n ? 0xFF : 0;
}

/* The letters of tokens in lower case, 0 for what parts them. `out` has PAD bytes more than the text: they become 0. */
#define PAD 64
static inline void letters(const uint8_t *restrict text, size_t size, uint8_t *restrict out)
{
    for (size_t i = 0; i < size; i++) {
        uint8_t c = text[i];
        c = (uint8_t)(c + (within(c, 'A', 26) & 32));
        uint8_t in = within(c, 'a', 26) | within(c, '0', 10) | within(c, '#', 3) | within(c, '_', 1) | within(c, 128, 128);
        out[i] = c & in;
    }
    memset(out + size, 0, PAD);
}

static inline uint64_t load(const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at, 8);
    return word;
}

/* One bit for each of 64 bytes that is not 0. */
static inline uint64_t filled(const uint8_t *at)
{
    uint64_t bits = 0;
#if defined(__SSE2__)
    for (int i = 0; i < 4; i++) {
        __m128i zero = _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(at + 16 * i)), _mm_setzero_si128());
        bits |= (uint64_t)((unsigned)_mm_movemask_epi8(zero) & 0xFFFF) << (16 * i);
    }
    return ~bits;
#else
    const uint64_t seven = 0x7F7F7F7F7F7F7F7FULL;
    for (int i = 0; i < 8; i++) {
        uint64_t word = load(at + 8 * i), high = (((word & seven) + seven) | word) & ~seven;
        bits |= (((high >> 7) * 0x0102040810204080ULL) >> 56) << (8 * i);
    }
    return bits;
#endif
}

static inline int lowest(uint64_t bits)
{
#if defined(__GNUC__)
    return __builtin_ctzll(bits);
#else
    int at = 0;
    while (!(bits >> at & 1)) at++;
    return at;
#endif
}

/* Where runs of bytes that are not 0 begin and end, in turn; returns the number of runs. */
static inline size_t runs(const uint8_t *line, size_t size, uint32_t *edge)
{
    uint64_t last = 0;
    size_t count = 0;
    for (size_t base = 0; base < size + 1; base += 64) {
        uint64_t bits = filled(line + base), turns = bits ^ (bits << 1 | last);
        last = bits >> 63;
        while (turns) {
            edge[count++] = (uint32_t)(base + (size_t)lowest(turns));
            turns &= turns - 1;
        }
    }
    if (count & 1) edge[count++] = (uint32_t)size;
    return count / 2;
}

/* The hash of a run: its bytes eight at a time, and its length. */
static inline uint64_t run_hash(const uint8_t *at, size_t size)
{
    uint64_t hash = size * BASE;
    while (size > 8) {
        hash = (hash ^ load(at)) * FOLD;
        hash ^= hash >> 29;
        at += 8;
        size -= 8;
    }
    hash = (hash ^ (load(at) & (~0ULL >> (64 - 8 * size)))) * FOLD;
    return hash ^ (hash >> 29);
}

/* What a thread works with, made as large as its longest text. */
typedef struct { uint8_t *line; uint32_t *edge; uint64_t *gram; size_t room; } Desk;

static int desk_for(Desk *d, size_t size)
{
    if (d->line && size <= d->room) return 0;
    free(d->line); free(d->edge); free(d->gram);
    d->line = malloc(size + 2 * PAD);
    d->edge = malloc((size + 3) * sizeof *d->edge);
    d->gram = malloc((size / 2 + 2) * sizeof *d->gram);
    d->room = size;
    return d->line && d->edge && d->gram ? 0 : -1;
}

static void desk_free(Desk *d) { free(d->line); free(d->edge); free(d->gram); }

/* The gram hashes of the runs on the desk's line into `out`, which holds (size + 1) / 2 at least; returns how many. */
static inline size_t grams_of_line(size_t size, size_t words, Desk *d, uint64_t *out)
{
    size_t count = runs(d->line, size, d->edge);
    for (size_t i = 0; i < count; i++)
        out[i] = run_hash(d->line + d->edge[2 * i], d->edge[2 * i + 1] - d->edge[2 * i]);
    size_t n = count >= words ? count - words + 1 : (count ? 1 : 0);
    if (words == 2 && count >= 2) {
        for (size_t i = 0; i < n; i++) out[i] = mix(out[i] * FOLD + out[i + 1]);
        return n;
    }
    for (size_t i = 0; i < n; i++) {
        uint64_t hash = 0;
        for (size_t j = i; j < i + words && j < count; j++) hash = hash * FOLD + out[j];
        out[i] = mix(hash);
    }
    return n;
}

static inline size_t grams(const uint8_t *text, size_t size, size_t words, Desk *d, uint64_t *out)
{
    letters(text, size, d->line);
    return grams_of_line(size, words, d, out);
}

static size_t longest(const uint64_t *starts, size_t n)
{
    size_t most = 0;
    for (size_t i = 0; i < n; i++)
        if (starts[i + 1] - starts[i] > most) most = starts[i + 1] - starts[i];
    return most;
}

static inline void sketch_one(const uint64_t *gram, size_t n, uint8_t *sketch, uint32_t *bands, size_t texts)
{
    uint32_t full[BINS];
    int some = 0;
    for (int i = 0; i < BINS; i++) full[i] = EMPTY;
    for (size_t i = 0; i < n; i++) {
        uint32_t bin = (uint32_t)(gram[i] & (BINS - 1)), value = (uint32_t)(gram[i] >> 32), have = full[bin];
        full[bin] = value < have ? value : have;
    }
    /* An empty bin takes what the next full one holds, moved on by its distance. */
    while (some < BINS && full[some] == EMPTY) some++;
    if (some < BINS) {
        uint32_t carry = full[some];
        for (int k = BINS - 1; k > 0; k--) {
            int i = (some + k) % BINS;
            carry = full[i] == EMPTY ? carry + STEP : full[i];
            full[i] = carry;
        }
    }
    for (int i = 0; i < BINS; i++) sketch[i] = (uint8_t)full[i];
    for (int i = 0; i < BANDS; i++) {
        uint64_t key = 0;
        for (int j = 0; j < ROWS; j++) key = key * FOLD + full[i * ROWS + j];
        bands[(size_t)i * texts] = (uint32_t)(mix(key) >> 32);
    }
}

/* Per text a row of BINS sketch bytes; per band a row of n keys. 0, or -1 without memory. */
EXPORT WIDE int afs_sketch(const uint8_t *data, const uint64_t *starts, size_t n, size_t words, uint8_t *sketch,
                           uint32_t *bands)
{
    Desk desk = {0};
    int failed = desk_for(&desk, longest(starts, n));
    for (size_t i = 0; i < n && !failed; i++) {
        const uint8_t *text = data + starts[i];
        size_t size = starts[i + 1] - starts[i];
        size_t count = grams(text, size, words, &desk, desk.gram);
        sketch_one(desk.gram, count, sketch + i * BINS, bands + i, n);
    }
    desk_free(&desk);
    return failed;
}

/* All grams, text after text; `ends[i]` is where text i ends in `out`. The caller gives (bytes / 2 + n) words of room. */
EXPORT WIDE int afs_grams(const uint8_t *data, const uint64_t *starts, size_t n, size_t words, uint64_t *out,
                          uint64_t *ends)
{
    Desk desk = {0};
    uint64_t *at = out;
    int failed = desk_for(&desk, longest(starts, n));
    for (size_t i = 0; i < n && !failed; i++) {
        at += grams(data + starts[i], starts[i + 1] - starts[i], words, &desk, at);
        ends[i] = (uint64_t)(at - out);
    }
    desk_free(&desk);
    return failed;
}

/* An open-addressing set of grams. */
typedef struct { uint64_t *slot; size_t mask, count, room; } Set;

static int set_fill(Set *s, const uint64_t *gram, size_t n)
{
    size_t room = 16;
    while (room < 2 * n + 2) room *= 2;
    if (room > s->room) {
        uint64_t *slot = realloc(s->slot, room * sizeof *slot);
        if (!slot) return -1;
        s->slot = slot;
        s->room = room;
    }
    memset(s->slot, 0, room * sizeof *s->slot);
    s->mask = room - 1;
    s->count = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t key = gram[i] | 1;
        size_t at = (key >> 1) & s->mask;
        while (s->slot[at] && s->slot[at] != key) at = (at + 1) & s->mask;
        if (!s->slot[at]) { s->slot[at] = key; s->count++; }
    }
    return 0;
}

static size_t set_shared(const Set *a, const Set *b)
{
    size_t shared = 0;
    for (size_t i = 0; i <= a->mask; i++) {
        uint64_t key = a->slot[i];
        if (!key) continue;
        size_t at = (key >> 1) & b->mask;
        while (b->slot[at] && b->slot[at] != key) at = (at + 1) & b->mask;
        shared += b->slot[at] == key;
    }
    return shared;
}

/* Exact Jaccard similarity of the gram sets of each pair; sort the pairs by `left` to have its set built once. */
EXPORT WIDE int afs_jaccard(const uint8_t *data, const uint64_t *starts, size_t words, const uint32_t *left,
                            const uint32_t *right, size_t pairs, float *out)
{
    Desk desk = {0};
    Set a = {0}, b = {0};
    uint32_t last = 0;
    int known = 0, failed = 0;
    for (size_t p = 0; p < pairs && !failed; p++) {
        for (int k = 0; k < 2 && !failed; k++) {
            uint32_t id = k ? right[p] : left[p];
            if (!k && known && id == last) continue;
            size_t size = starts[id + 1] - starts[id];
            failed = desk_for(&desk, size)
                     || set_fill(k ? &b : &a, desk.gram, grams(data + starts[id], size, words, &desk, desk.gram));
        }
        last = left[p];
        known = 1;
        if (failed) break;
        size_t shared = set_shared(&b, &a), whole = a.count + b.count - shared;
        out[p] = whole ? (float)shared / (float)whole : 1.0f;
    }
    free(a.slot);
    free(b.slot);
    desk_free(&desk);
    return failed ? -1 : 0;
}

/* Of the runs of `words` words in a row, parted by white space and as they stand, the share that are not one again;
 * 1 for fewer than 4 of them. -1: no memory. */
EXPORT WIDE double afs_unrepeated(const uint8_t *text, size_t size, size_t words)
{
    Desk desk = {0};
    Set set = {0};
    double share = -1;
    if (!desk_for(&desk, size)) {
        for (size_t i = 0; i < size; i++)
            desk.line[i] = text[i] & (uint8_t)~(within(text[i], ' ', 1) | within(text[i], '\t', 5) | within(text[i], 0, 1));
        memset(desk.line + size, 0, PAD);
        size_t n = grams_of_line(size, words, &desk, desk.gram);
        if (!set_fill(&set, desk.gram, n)) share = n < 4 ? 1 : (double)set.count / (double)n;
    }
    free(set.slot);
    desk_free(&desk);
    return share;
}

static inline int alike(const uint8_t *a, const uint8_t *b)
{
    int same = 0;
    for (int i = 0; i < BINS; i++) same += a[i] == b[i];
    return same;
}

static int rising(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Numbers by their key in the upper half, equal ones in the order they came: three rounds of 11 bits. */
static void by_key(uint64_t *item, uint64_t *other, size_t n)
{
    for (int shift = 32; shift < 64; shift += 11) {
        size_t place[2049] = {0};
        for (size_t i = 0; i < n; i++) place[(item[i] >> shift & 2047) + 1]++;
        for (int i = 0; i < 2047; i++) place[i + 1] += place[i];
        for (size_t i = 0; i < n; i++) other[place[item[i] >> shift & 2047]++] = item[i];
        uint64_t *swap = item;
        item = other;
        other = swap;
    }
}

/* Of items sorted by key, those whose key others have too, as `crowd << 32 | number`; returns how many.
 * A crowd of more than `reach` + 1 is put in the order of the following band's key. */
static size_t crowds(uint64_t *item, size_t n, const uint32_t *following, size_t reach, uint64_t *out)
{
    size_t count = 0;
    uint64_t crowd = 0;
    for (size_t begin = 0, end; begin < n; begin = end) {
        for (end = begin + 1; end < n && item[end] >> 32 == item[begin] >> 32;) end++;
        if (end - begin < 2) continue;
        if (end - begin > reach + 1) {
            for (size_t i = begin; i < end; i++)
                item[i] = (uint64_t)following[item[i] & 0xFFFFFFFFu] << 32 | (item[i] & 0xFFFFFFFFu);
            qsort(item + begin, end - begin, sizeof *item, rising);
        }
        for (size_t i = begin; i < end; i++) out[count++] = crowd << 32 | (item[i] & 0xFFFFFFFFu);
        crowd++;
    }
    return count;
}

/* So many items before its turn a sketch is asked for: it lies anywhere in a table larger than every cache. */
#define AHEAD 16
#if defined(__GNUC__)
#define FETCH(at) __builtin_prefetch(at)
#else
#define FETCH(at) ((void)(at))
#endif

/* Pairs of texts with one key in a band whose sketches agree in `least` bytes at least, as `smaller << 32 | larger`.
 * In a crowd of one key, sorted by the following band's key, each is compared with the `reach` that follow it.
 * Returns the number found, which may be more than `room`: then call again with more. -1: no memory. */
EXPORT WIDE int64_t afs_band(const uint8_t *sketch, const uint32_t *own, const uint32_t *following, size_t n,
                             int least, size_t reach, uint64_t *out, size_t room)
{
    uint64_t *item = malloc((2 * n + 1) * sizeof *item), *sorted = item + n;
    int64_t found = 0;
    if (!item) return -1;
    for (size_t i = 0; i < n; i++) item[i] = (uint64_t)own[i] << 32 | i;
    by_key(item, sorted, n);
    size_t many = crowds(sorted, n, following, reach, item);
    for (size_t i = 0; i < many; i++) {
        const uint8_t *soon = sketch + (item[i + AHEAD < many ? i + AHEAD : i] & 0xFFFFFFFFu) * BINS;
        FETCH(soon);
        FETCH(soon + BINS / 2);
        for (size_t j = i + 1; j < many && j <= i + reach && item[j] >> 32 == item[i] >> 32; j++) {
            uint64_t a = item[i] & 0xFFFFFFFFu, b = item[j] & 0xFFFFFFFFu;
            if (alike(sketch + a * BINS, sketch + b * BINS) < least) continue;
            if ((size_t)found < room) out[found] = a < b ? a << 32 | b : b << 32 | a;
            found++;
        }
    }
    free(item);
    return found;
}

/* Which grams of the texts are in the sorted list `wanted`; (text, index) pairs until `room` is full.
 * Returns the number found, which may be more than `room`: then call again with more. */
EXPORT WIDE int64_t afs_probe(const uint8_t *data, const uint64_t *starts, size_t n, size_t words, const uint64_t *wanted,
                         size_t many, uint32_t *text, uint32_t *index, size_t room)
{
    Desk desk = {0};
    uint8_t *hint = calloc(1 << 17, 1);
    int64_t found = 0;
    if (desk_for(&desk, longest(starts, n)) || !hint) { desk_free(&desk); free(hint); return -1; }
    for (size_t i = 0; i < many; i++) hint[(wanted[i] & 0xFFFFF) >> 3] |= (uint8_t)(1u << (wanted[i] & 7));
    for (size_t i = 0; i < n; i++) {
        size_t count = grams(data + starts[i], starts[i + 1] - starts[i], words, &desk, desk.gram);
        for (size_t g = 0; g < count; g++) {
            uint64_t key = desk.gram[g];
            if (!(hint[(key & 0xFFFFF) >> 3] & (1u << (key & 7)))) continue;
            size_t low = 0, high = many;
            while (low < high) {
                size_t middle = (low + high) / 2;
                if (wanted[middle] < key) low = middle + 1; else high = middle;
            }
            if (low == many || wanted[low] != key) continue;
            if ((size_t)found < room) { text[found] = (uint32_t)i; index[found] = (uint32_t)low; }
            found++;
        }
    }
    desk_free(&desk);
    free(hint);
    return found;
}

/* The `k` largest of each row and where they stand, the largest first, of equal ones the earlier first. */
EXPORT WIDE void afs_top(const float *scores, size_t rows, size_t n, size_t k, uint32_t *index, float *value)
{
    for (size_t r = 0; r < rows; r++) {
        const float *row = scores + r * n;
        float *best = value + r * k;
        uint32_t *where = index + r * k;
        size_t have = 0;
        for (size_t at = 0; at < n; at += 64) {
            size_t end = at + 64 < n ? at + 64 : n;
            if (have == k) {
                float least = best[k - 1];
                int any = 0;
                for (size_t i = at; i < end; i++) any |= row[i] > least;
                if (!any) continue;
            }
            for (size_t i = at; i < end; i++) {
                if (have == k && !(row[i] > best[k - 1])) continue;
                size_t place = have < k ? have++ : k - 1;
                for (; place && row[i] > best[place - 1]; place--) {
                    best[place] = best[place - 1];
                    where[place] = where[place - 1];
                }
                best[place] = row[i];
                where[place] = (uint32_t)i;
            }
        }
    }
}

/* Skeletons: a number per text that stays when comments, layout, quotes or the names the text binds change.
 *
 * Tokens are identifiers, numbers and single other bytes; quotes, commas and backslashes are none. An identifier is bound
 * when it is assigned to, declared or a parameter somewhere, and nowhere a member or called, or names a function. Bound ones count by the order
 * of their first appearance, the others by their lower-case spelling. `skeletons.py` does the same in Python.
 */
#define LEAST_TOKENS 12

struct token { uint64_t id, low; uint8_t name; };
struct slot { uint64_t id; uint32_t text, number; uint8_t bound, barred; };

static inline int is_blank(uint8_t c) { return c == ' ' || (c >= 9 && c <= 13); }
static inline int is_letter(uint8_t c) { return within((uint8_t)(c | 32), 'a', 26) || c == '_'; }
static inline int is_word(uint8_t c) { return is_letter(c) || within(c, '0', 10); }

/* The hashes of a word as it is and in lower case. */
static void hash_word(const uint8_t *at, size_t size, struct token *token)
{
    uint64_t id = BASE, low = BASE;
    for (size_t i = 0; i < size; i++) {
        uint8_t c = at[i];
        id = (id ^ c) * FOLD;
        id ^= id >> 29;
        low = (low ^ (uint8_t)(c + (within(c, 'A', 26) & 32))) * FOLD;
        low ^= low >> 29;
    }
    token->id = id;
    token->low = low;
}

/* Where the comment that begins at `i` ends; `i` itself when none does. */
static size_t skip_comment(const uint8_t *text, size_t size, size_t i)
{
    uint8_t c = text[i], before = i ? text[i - 1] : '\n', after = i + 1 < size ? text[i + 1] : '\n';
    size_t end = i;
    if (((c == ';' || c == '#') && is_blank(before) && (is_blank(after) || after == '#' || after == '!' || after == ';' || after == ':'))
        || (c == '/' && after == '/' && before != ':')) {
        while (end < size && text[end] != '\n') end++;
    } else if (c == '/' && after == '*') {
        for (end = i + 2; end < size; end++)
            if (text[end] == '*' && end + 1 < size && text[end + 1] == '/') return end + 2;
    } else if ((c == '"' || c == '\'') && i + 2 < size && after == c && text[i + 2] == c) {
        size_t begin = i;
        while (begin && (text[begin - 1] == ' ' || text[begin - 1] == '\t')) begin--;
        if (begin && text[begin - 1] != '\n') return i;
        for (end = i + 3; end < size; end++)
            if (end + 2 < size && text[end] == c && text[end + 1] == c && text[end + 2] == c) return end + 3;
    }
    return end;
}

/* Words before a name that bind it: 2 for those of functions, which may be called as well. */
static uint8_t binds(const uint8_t *at, size_t size)
{
    static const char *const words[] = {"def", "fn", "function", "let", "var", "const", "mut", "for", "as", "auto", "lambda"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strlen(words[i]) == size && !memcmp(words[i], at, size)) return i < 3 ? 2 : 1;
    return 0;
}

/* The slot of a name; slots of earlier texts are free. */
static struct slot *find_slot(struct slot *table, size_t mask, uint64_t id, uint32_t text)
{
    size_t at = (size_t)(id >> 20) & mask;
    while (table[at].text == text && table[at].id != id) at = (at + 1) & mask;
    if (table[at].text != text) table[at] = (struct slot){id, text, 0, 0, 0};
    return table + at;
}

static void mark(const uint8_t *text, size_t size, size_t begin, size_t end, const uint8_t *before, size_t before_size, struct slot *slot)
{
    size_t next = end;
    while (next < size && (text[next] == ' ' || text[next] == '\t')) next++;
    uint8_t after = next < size ? text[next] : '\n', second = next + 1 < size ? text[next + 1] : '\n';
    uint8_t last = begin ? text[begin - 1] : '\n', prior = begin > 1 ? text[begin - 2] : '\n';
    if (last == '.' || (prior == '-' && last == '>') || (prior == ':' && last == ':') || after == '(') slot->barred = 1;
    if (before_size && binds(before, before_size) > slot->bound) slot->bound = binds(before, before_size);
    if (slot->bound) return;
    if ((after == '=' && second != '=') || (last == '\n' && after == ':')) slot->bound = 1;
    if (before_size && (is_letter(*before) || (before_size == 1 && strchr("*&>(|", *before)))
        && (after == '=' || after == ';' || after == ',' || after == ')' || after == ':' || after == '|'))
        slot->bound = 1;
}

static uint64_t skeleton(const uint8_t *text, size_t size, struct token *token, struct slot *table, size_t mask, uint32_t number)
{
    size_t count = 0, before_size = 0;
    const uint8_t *before = text;
    for (size_t i = 0; i < size;) {
        uint8_t c = text[i];
        size_t end = i + 1;
        if (is_word(c)) {
            while (end < size && is_word(text[end])) end++;
        } else if (is_blank(c)) {
            i++;
            continue;
        } else {
            size_t after = skip_comment(text, size, i);
            if (after > i || c == '\'' || c == '"' || c == '`' || c == ',' || c == '\\') {
                i = after > i ? after : i + 1;
                continue;
            }
        }
        token[count].name = (uint8_t)is_letter(c);
        hash_word(text + i, end - i, token + count);
        if (token[count].name) mark(text, size, i, end, before, before_size, find_slot(table, mask, token[count].id, number));
        count++;
        before = text + i;
        before_size = end - i;
        i = end;
    }
    uint64_t value = 0;
    uint32_t seen = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t part = token[i].low;
        struct slot *slot = token[i].name ? find_slot(table, mask, token[i].id, number) : NULL;
        if (slot && (slot->bound == 2 || (slot->bound && !slot->barred))) {
            if (!slot->number) slot->number = ++seen;
            part = slot->number;
        }
        value = value * FOLD + part;
    }
    return count < LEAST_TOKENS ? 0 : value ? value : 1;
}

/* A skeleton per text, 0 for one that has none; returns 1 when there is no memory. */
EXPORT int afs_skeletons(const uint8_t *data, const uint64_t *starts, size_t n, uint64_t *out)
{
    size_t longest = 0, slots = 64;
    for (size_t i = 0; i < n; i++)
        if (starts[i + 1] - starts[i] > longest) longest = (size_t)(starts[i + 1] - starts[i]);
    while (slots < longest) slots *= 2;
    struct token *token = malloc((longest + 1) * sizeof *token);
    struct slot *table = calloc(slots, sizeof *table);
    if (!token || !table) {
        free(token);
        free(table);
        return 1;
    }
    for (size_t i = 0; i < n; i++) {
        size_t size = (size_t)(starts[i + 1] - starts[i]);
        out[i] = skeleton(data + starts[i], size, token, table, slots - 1, (uint32_t)i + 1);
    }
    free(token);
    free(table);
    return 0;
}

/* 0 where words are read the other way round: there numpy does the work. */
EXPORT uint32_t afs_minhash_version(void)
{
    const uint16_t one = 1;
    uint8_t first;
    memcpy(&first, &one, 1);
    return first ? 5 : 0;
}

#ifdef AFS_PYTHON_MODULE
#include <Python.h>
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_minhash", NULL, -1, NULL, NULL, NULL, NULL, NULL};
PyMODINIT_FUNC PyInit__minhash(void) { return PyModule_Create(&definition); }
#endif
