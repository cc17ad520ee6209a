/* The inner loops of merging: values widened from bf16, changed, and rounded back in one pass; 4-bit NormalFloat.
 *
 * Plain C99 that compilers turn into vector code; numpy does the same without it, slower (`kernel.py`).
 * Every function that stores tells whether all values were numbers: infinity and NaN have all exponent bits set.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__linux__)
#define FAST __attribute__((optimize("O3"), target_clones("avx2", "default")))
#else
#define FAST
#endif

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif
#define BLOCK 64
#define EXPONENT 0x7F800000u

static inline float widened(uint16_t bits) {
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, 4);
    return value;
}

static inline uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return bits;
}

/* To nearest, ties to even. */
static inline uint16_t narrowed(uint32_t bits) {
    return (uint16_t)((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

EXPORT int afs_merge_version(void) { return 1; }

/* out = bf16(base + delta), base in bf16. */
EXPORT FAST int64_t afs_add(const uint16_t *restrict base, const float *restrict delta, uint16_t *restrict out, int64_t count) {
    uint32_t bad = 0;
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits = bits_of(widened(base[i]) + delta[i]);
        bad |= (bits & EXPONENT) == EXPONENT;
        out[i] = narrowed(bits);
    }
    return bad;
}

/* out = bf16(values). */
EXPORT FAST int64_t afs_narrow(const float *restrict values, uint16_t *restrict out, int64_t count) {
    uint32_t bad = 0;
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits = bits_of(values[i]);
        bad |= (bits & EXPONENT) == EXPONENT;
        out[i] = narrowed(bits);
    }
    return bad;
}

/* out = float32(bits). */
EXPORT FAST void afs_widen(const uint16_t *restrict bits, float *restrict out, int64_t count) {
    for (int64_t i = 0; i < count; i++) out[i] = widened(bits[i]);
}

/* The largest magnitude of every block of 64. */
EXPORT FAST void afs_largest(const float *restrict values, float *restrict out, int64_t blocks) {
    for (int64_t block = 0; block < blocks; block++) {
        const float *from = values + block * BLOCK;
        uint32_t most = 0;
        for (int i = 0; i < BLOCK; i++) {
            uint32_t magnitude = bits_of(from[i]) & 0x7FFFFFFFu;
            most = magnitude > most ? magnitude : most;
        }
        memcpy(out + block, &most, 4);
    }
}

/* For each value the one of its block's 16 restored values whose level is nearest to its share of the block's largest. */
EXPORT FAST void afs_nearest(const float *restrict values, const float *restrict middles, const float *restrict restored,
                             float *restrict out, int64_t blocks) {
    for (int64_t block = 0; block < blocks; block++) {
        const float *from = values + block * BLOCK;
        float *to = out + block * BLOCK;
        uint32_t most = 0;
        for (int i = 0; i < BLOCK; i++) {
            uint32_t magnitude = bits_of(from[i]) & 0x7FFFFFFFu;
            most = magnitude > most ? magnitude : most;
        }
        float largest, levels[16], edges[15];
        memcpy(&largest, &most, 4);
        memcpy(levels, restored + block * 16, sizeof levels);
        memcpy(edges, middles, sizeof edges);
        float share = most == 0 ? 1.0f : 1.0f / largest;
        for (int i = 0; i < BLOCK; i++) {
            float scaled = from[i] * share, value = levels[0];
            for (int level = 0; level < 15; level++) value = scaled > edges[level] ? levels[level + 1] : value;
            to[i] = value;
        }
    }
}

#ifdef AFS_PYTHON_MODULE
#include <Python.h>
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_merge", NULL, -1, NULL, NULL, NULL, NULL, NULL};
PyMODINIT_FUNC PyInit__merge(void) { return PyModule_Create(&definition); }
#endif
