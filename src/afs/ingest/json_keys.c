/* Whether an object of a JSON text has a key twice, in one pass without decoding: a decoder keeps the last value silently.
 * Text that is no JSON, and objects nested or filled beyond the limits, are left to a slower check: the answer is then
 * "perhaps". `json_keys.py` is its only caller.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef _WIN32
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

#define DEEPEST 64
#define KEYS 1024

struct frame {
    uint32_t first; /* where its keys begin */
    uint8_t object, key; /* whether a key comes next */
};

/* The closing quote of a string, or NULL. */
static const uint8_t *end_of_string(const uint8_t *at, const uint8_t *end)
{
    while (at < end && (at = memchr(at, '"', (size_t)(end - at)))) {
        const uint8_t *back = at;
        while (back[-1] == '\\') back--;
        if (!((at - back) & 1)) return at;
        at++;
    }
    return NULL;
}

static uint64_t hash_of(const uint8_t *at, const uint8_t *end)
{
    uint64_t hash = 0xCBF29CE484222325u ^ (uint64_t)(end - at);
    for (; at < end; at++) hash = (hash ^ *at) * 0x100000001B3u;
    return hash ? hash : 1;
}

/* 0: no key stands twice. 1: perhaps one does. */
EXPORT int afs_doubled_key(const uint8_t *text, size_t size)
{
    struct frame frames[DEEPEST];
    uint64_t keys[KEYS];
    uint32_t count = 0;
    int depth = -1;
    const uint8_t *end = text + size;
    for (const uint8_t *at = text; at < end; at++) {
        struct frame *top = depth >= 0 ? frames + depth : NULL;
        switch (*at) {
        case '"': {
            const uint8_t *close = end_of_string(at + 1, end);
            if (!close) return 0;
            if (top && top->object && top->key) {
                uint64_t hash = hash_of(at + 1, close);
                for (uint32_t i = top->first; i < count; i++)
                    if (keys[i] == hash) return 1;
                if (count == KEYS) return 1;
                keys[count++] = hash;
                top->key = 0;
            }
            at = close;
            break;
        }
        case '{':
        case '[':
            if (++depth == DEEPEST) return 1;
            frames[depth] = (struct frame){count, *at == '{', *at == '{'};
            break;
        case '}':
        case ']':
            if (depth < 0) return 0;
            count = frames[depth--].first;
            break;
        case ',':
            if (top && top->object) top->key = 1;
            break;
        }
    }
    return 0;
}

EXPORT uint32_t afs_json_keys_version(void) { return 1; }

#ifdef AFS_PYTHON_MODULE
#include <Python.h>
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_json_keys", NULL, -1, NULL, NULL, NULL, NULL, NULL};
PyMODINIT_FUNC PyInit__json_keys(void) { return PyModule_Create(&definition); }
#endif
