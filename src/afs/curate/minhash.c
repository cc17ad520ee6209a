/* Shingles, sketches and overlaps of texts: the inner loops of near-duplicate search and of decontamination.
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

/* What a byte becomes inside a token; 0 ends the token. */
static const uint8_t *letters(void)
{
    static uint8_t table[256];
    static int ready;
    if (!ready) {
        uint8_t made[256] = {0};
        for (int c = 0; c < 256; c++) {
            if (c >= 'A' && c <= 'Z') made[c] = (uint8_t)(c + 32);
            else if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c >= 128) made[c] = (uint8_t)c;
        }
        made['_'] = '_'; made['$'] = '$'; made['#'] = '#'; made['%'] = '%';
        memcpy(table, made, sizeof table);
        ready = 1;
    }
    return table;
}

/* Token hashes of one text; the caller's buffer holds (size + 1) / 2 at least. */
static size_t tokens(const uint8_t *text, size_t size, const uint8_t *table, uint64_t *out)
{
    size_t count = 0, i = 0;
    while (i < size) {
        uint8_t c = table[text[i]];
        if (!c) { i++; continue; }
        uint64_t hash = 0, power = 1;
        size_t start = i;
        do {
            hash += c * power;
            power *= BASE;
            i++;
        } while (i < size && (c = table[text[i]]));
        out[count++] = mix(hash + (i - start));
    }
    return count;
}

/* Token hashes -> gram hashes, in place. */
static size_t fold(uint64_t *t, size_t count, size_t words)
{
    size_t n = count >= words ? count - words + 1 : (count ? 1 : 0);
    for (size_t i = 0; i < n; i++) {
        uint64_t hash = 0;
        for (size_t j = i; j < i + words && j < count; j++) hash = hash * FOLD + t[j];
        t[i] = mix(hash);
    }
    return n;
}

static size_t longest(const uint64_t *starts, size_t n)
{
    size_t most = 0;
    for (size_t i = 0; i < n; i++)
        if (starts[i + 1] - starts[i] > most) most = starts[i + 1] - starts[i];
    return most;
}

/* A digest of the text with ASCII case and spacing away. */
static void plain(const uint8_t *text, size_t size, uint64_t *out)
{
    uint64_t a = 0, b = 0, n = 0;
    int gap = 0;
    for (size_t i = 0; i < size; i++) {
        uint8_t c = text[i];
        if (c == ' ' || (c >= 9 && c <= 13)) { gap = 1; continue; }
        if (c >= 'A' && c <= 'Z') c += 32;
        if (gap && n) { a = a * BASE + ' '; b = (b ^ ' ') * FOLD; n++; }
        gap = 0;
        a = a * BASE + c;
        b = (b ^ c) * FOLD;
        n++;
    }
    out[0] = mix(a + n);
    out[1] = mix(b + n);
}

static void sketch_one(const uint64_t *gram, size_t n, uint8_t *sketch, uint32_t *bands)
{
    uint32_t least[BINS], full[BINS];
    for (int i = 0; i < BINS; i++) least[i] = EMPTY;
    for (size_t i = 0; i < n; i++) {
        uint32_t bin = (uint32_t)(gram[i] & (BINS - 1)), value = (uint32_t)(gram[i] >> 32);
        if (value < least[bin]) least[bin] = value;
    }
    /* An empty bin takes what the next full one holds, moved on by its distance. */
    memcpy(full, least, sizeof full);
    if (n)
        for (int i = 2 * BINS - 1; i >= 0; i--)
            if (least[i % BINS] == EMPTY) full[i % BINS] = full[(i + 1) % BINS] + STEP;
    for (int i = 0; i < BINS; i++) sketch[i] = (uint8_t)full[i];
    for (int i = 0; i < BANDS; i++) {
        uint64_t key = 0;
        for (int j = 0; j < ROWS; j++) key = key * FOLD + full[i * ROWS + j];
        bands[i] = (uint32_t)(mix(key) >> 32);
    }
}

/* Per text: BINS sketch bytes, BANDS keys, two words of digest. 0, or -1 without memory. */
EXPORT WIDE int afs_sketch(const uint8_t *data, const uint64_t *starts, size_t n, size_t words, uint8_t *sketch,
                      uint32_t *bands, uint64_t *digest)
{
    const uint8_t *table = letters();
    uint64_t *buffer = malloc((longest(starts, n) / 2 + 2) * sizeof *buffer);
    if (!buffer) return -1;
    for (size_t i = 0; i < n; i++) {
        const uint8_t *text = data + starts[i];
        size_t size = starts[i + 1] - starts[i];
        size_t count = fold(buffer, tokens(text, size, table, buffer), words);
        sketch_one(buffer, count, sketch + i * BINS, bands + i * BANDS);
        plain(text, size, digest + 2 * i);
    }
    free(buffer);
    return 0;
}

/* All grams, text after text; `ends[i]` is where text i ends in `out`. The caller gives (bytes + n) words of room. */
EXPORT int afs_grams(const uint8_t *data, const uint64_t *starts, size_t n, size_t words, uint64_t *out, uint64_t *ends)
{
    const uint8_t *table = letters();
    uint64_t *at = out;
    for (size_t i = 0; i < n; i++) {
        at += fold(at, tokens(data + starts[i], starts[i + 1] - starts[i], table, at), words);
        ends[i] = (uint64_t)(at - out);
    }
    return 0;
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
EXPORT int afs_jaccard(const uint8_t *data, const uint64_t *starts, size_t words, const uint32_t *left,
                       const uint32_t *right, size_t pairs, float *out)
{
    const uint8_t *table = letters();
    Set a = {0}, b = {0};
    uint64_t *buffer = NULL;
    size_t room = 0;
    uint32_t last = 0;
    int known = 0, failed = 0;
    for (size_t p = 0; p < pairs && !failed; p++) {
        for (int k = 0; k < 2 && !failed; k++) {
            uint32_t id = k ? right[p] : left[p];
            if (!k && known && id == last) continue;
            size_t size = starts[id + 1] - starts[id];
            if (size / 2 + 2 > room) {
                uint64_t *more = realloc(buffer, (size / 2 + 2) * sizeof *buffer);
                if (!more) { failed = 1; break; }
                buffer = more;
                room = size / 2 + 2;
            }
            size_t n = fold(buffer, tokens(data + starts[id], size, table, buffer), words);
            failed = set_fill(k ? &b : &a, buffer, n) != 0;
        }
        last = left[p];
        known = 1;
        if (failed) break;
        size_t shared = set_shared(&b, &a), whole = a.count + b.count - shared;
        out[p] = whole ? (float)shared / (float)whole : 1.0f;
    }
    free(a.slot);
    free(b.slot);
    free(buffer);
    return failed ? -1 : 0;
}

/* How many of the sketch bytes of each pair agree. */
EXPORT WIDE int afs_agree(const uint8_t *sketch, const uint32_t *left, const uint32_t *right, size_t pairs, uint8_t *out)
{
    for (size_t p = 0; p < pairs; p++) {
        const uint8_t *a = sketch + (size_t)left[p] * BINS, *b = sketch + (size_t)right[p] * BINS;
        int same = 0;
        for (int i = 0; i < BINS; i++) same += a[i] == b[i];
        out[p] = (uint8_t)same;
    }
    return 0;
}

/* Which grams of the texts are in the sorted list `wanted`; (text, index) pairs until `room` is full.
 * Returns the number found, which may be more than `room`: then call again with more. */
EXPORT int64_t afs_probe(const uint8_t *data, const uint64_t *starts, size_t n, size_t words, const uint64_t *wanted,
                         size_t many, uint32_t *text, uint32_t *index, size_t room)
{
    const uint8_t *table = letters();
    uint64_t *buffer = malloc((longest(starts, n) / 2 + 2) * sizeof *buffer);
    uint8_t *hint = calloc(1 << 17, 1);
    int64_t found = 0;
    if (!buffer || !hint) { free(buffer); free(hint); return -1; }
    for (size_t i = 0; i < many; i++) hint[(wanted[i] & 0xFFFFF) >> 3] |= (uint8_t)(1u << (wanted[i] & 7));
    for (size_t i = 0; i < n; i++) {
        size_t count = fold(buffer, tokens(data + starts[i], starts[i + 1] - starts[i], table, buffer), words);
        for (size_t g = 0; g < count; g++) {
            uint64_t key = buffer[g];
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
    free(buffer);
    free(hint);
    return found;
}

EXPORT uint32_t afs_minhash_version(void) { return 1; }

#ifdef AFS_PYTHON_MODULE
#include <Python.h>
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_minhash", NULL, -1, NULL, NULL, NULL, NULL, NULL};
PyMODINIT_FUNC PyInit__minhash(void) { return PyModule_Create(&definition); }
#endif
