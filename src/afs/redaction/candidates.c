/* Places of a text at which a redaction rule may match: the inner loop of redaction.
 *
 * A needle is a short literal that every match of its rule holds; a place is reported when the needle stands there and
 * its surroundings allow a match. `candidates.py` does the same in Python; tests compare them. No state, no allocation.
 */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

#define VERSION 1
#define LONGEST 40
#define RUN 256      /* bytes looked at before a needle */
#define NAME_HEAD 64 /* bytes of a name before and after the word in it */

enum { DIGIT = 1, HEX = 2, TOKEN = 4, EMAIL = 8, HOST = 16, LOGIN = 32, SCHEME = 64, INSIDE = 128, NAME = 256,
       ALNUM = 512, TYPE = 1024 };
enum { FOLDED = 1, EDGE_BEFORE = 2, EDGE_AFTER = 4, START_BEFORE = 8, END_AFTER = 16 };
enum { PLAIN = 0, LEFT = 1, WORD = 2, DOTTED = 3 };

typedef struct {
    int32_t pass, length, flags, shape, left, least, back, option;
    uint8_t text[LONGEST];
} needle;

typedef struct {
    const needle *needles;
    const uint8_t *groups, *filter;
    const uint16_t *heads, *lists, *classes;
} tables;

typedef struct { const uint8_t *text; int64_t size; const uint16_t *classes; } input;
typedef struct { int64_t *out; int64_t room, count; } output;

static int is_in(const input *in, int64_t at, int kind)
{
    return at >= 0 && at < in->size && (in->classes[in->text[at]] & kind);
}

static uint8_t fold(uint8_t c) { return c >= 'A' && c <= 'Z' ? c | 32 : c; }

static int is_lower(uint8_t c) { return c >= 'a' && c <= 'z'; }
static int is_upper(uint8_t c) { return c >= 'A' && c <= 'Z'; }

static void report(output *to, int64_t pass, int64_t start, int64_t end)
{
    if (to->count < to->room) {
        int64_t *row = to->out + 3 * to->count;
        row[0] = pass;
        row[1] = start;
        row[2] = end;
    }
    to->count++;
}

/* An edge is any byte that is no letter, digit or underscore; a start is also an upper-case letter behind a lower-case one. */
static int is_there(const input *in, int64_t at, const needle *one)
{
    const uint8_t *text = in->text + at;
    int64_t end = at + one->length;
    if (end > in->size) return 0;
    if (one->flags & FOLDED) {
        for (int32_t i = 0; i < one->length; i++)
            if (fold(text[i]) != one->text[i]) return 0;
    } else if (memcmp(text, one->text, (size_t)one->length)) {
        return 0;
    }
    if ((one->flags & EDGE_BEFORE) && at && (is_in(in, at - 1, ALNUM) || text[-1] == '_')) return 0;
    if ((one->flags & EDGE_AFTER) && (is_in(in, end, ALNUM) || (end < in->size && in->text[end] == '_'))) return 0;
    if ((one->flags & END_AFTER) && is_in(in, end, ALNUM)) return 0;
    if ((one->flags & START_BEFORE) && is_in(in, at - 1, ALNUM) && !(is_lower(text[-1]) && is_upper(text[0]))) return 0;
    return 1;
}

/* Whether what follows a name can be an assignment: closers, spaces, perhaps a type, then an operator or a quote. */
static int is_assigned(const input *in, int64_t at)
{
    const uint8_t *text = in->text;
    int64_t size = in->size, limit = at + 4 < size ? at + 4 : size;
    while (at < limit && strchr("\"'`\\])}", text[at]) && text[at]) {
        if (text[at] == '"' || text[at] == '\'' || text[at] == '`') return 1;
        at++;
    }
    limit = at + 8 < size ? at + 8 : size;
    while (at < limit && (text[at] == ' ' || text[at] == '\t')) at++;
    if (at >= size) return 0;
    if (text[at] && strchr("=%:?.+|!,>-(\"'`", text[at])) {
        uint8_t next = at + 1 < size ? text[at + 1] : 0;
        switch (text[at]) {
        case '%': return next == '3';
        case '-': return next == '>';
        case '!': return next == '=';
        case '(': return next == '"' || next == '\'' || next == '`';
        case '|': return next == '|' || next == '=';
        case '+': return next == '=' || next == '+';
        case '.': break; /* part of a type such as `.Text` */
        default: return 1;
        }
    }
    limit = at + 30 < size ? at + 30 : size;
    while (at < limit && (in->classes[text[at]] & TYPE)) at++;
    limit = at + 4 < size ? at + 4 : size;
    while (at < limit && (text[at] == ' ' || text[at] == '\t')) at++;
    return at < size && (text[at] == '=' || text[at] == ':' || text[at] == '?');
}

/* The whole name that a word stands in, once; its end is returned. */
static int64_t add_name(const input *in, int64_t at, const needle *one, output *to)
{
    int64_t start = at, end = at + one->length;
    while (at - start < NAME_HEAD && is_in(in, start - 1, NAME)) start--;
    while (end - at < NAME_HEAD && is_in(in, end, NAME)) end++;
    if (in->text[start] == '-' && one->option >= 0) report(to, one->option, start, end);
    if (is_assigned(in, end)) report(to, one->pass, start, end);
    return end;
}

static void add_run(const input *in, int64_t at, const needle *one, output *to)
{
    int64_t start = at;
    while (at - start < RUN && is_in(in, start - 1, one->left)) start--;
    if (at - start < one->least) return;
    if (one->left != INSIDE)
        while (start < at && !is_in(in, start, ALNUM)) start++;
    report(to, one->pass, start, at + one->length);
}

/* Four numbers of up to three digits with dots between them. */
static void add_dotted(const input *in, int64_t at, const needle *one, output *to)
{
    int64_t start = at, end = at + 1;
    while (at - start < 3 && is_in(in, start - 1, DIGIT)) start--;
    if (at - start > 2 || is_in(in, start - 1, ALNUM) || (start && in->text[start - 1] == '_')) return;
    for (int group = 0; group < 3; group++) {
        int64_t first = end + 1;
        if (end >= in->size || in->text[end] != '.') return;
        end = first;
        while (end - first < 3 && is_in(in, end, DIGIT)) end++;
        if (end == first) return;
    }
    if (is_in(in, end, ALNUM) || (end < in->size && in->text[end] == '_')) return;
    report(to, one->pass, start, end);
}

/* Rows of (pass, start, end) in order of the needles' places; the number of rows, which may be larger than `room`.
 * `groups` has a number below 64 for each byte, one for both cases of a letter; three of them in a row are an index into
 * `filter`, one bit each for the beginnings of needles, and into `heads`, which gives the place of their needles in
 * `lists`, each of which ends with 0. */
EXPORT int64_t afs_candidates(const tables *all, const uint8_t *text, int64_t size, int64_t *out, int64_t room)
{
    const uint8_t *groups = all->groups, *filter = all->filter;
    input in = {text, size, all->classes};
    output to = {out, room, 0};
    int64_t named = 0;
    uint32_t index = size > 1 ? (uint32_t)(groups[text[0]] << 6 | groups[text[1]]) : 0;
    for (int64_t at = 0; at + 1 < size; at++) {
        index = (index << 6 | (at + 2 < size ? groups[text[at + 2]] : 0)) & 0x3FFFF;
        if (!(filter[index >> 3] >> (index & 7) & 1)) continue;
        for (const uint16_t *list = all->lists + all->heads[index]; *list; list++) {
            const needle *one = all->needles + *list;
            if ((one->shape == WORD && at < named) || !is_there(&in, at, one)) continue;
            if (one->shape == WORD) named = add_name(&in, at, one, &to);
            else if (one->shape == LEFT) add_run(&in, at, one, &to);
            else if (one->shape == DOTTED) add_dotted(&in, at, one, &to);
            else if (at >= one->back) report(&to, one->pass, at - one->back, at + one->length);
        }
    }
    return to.count;
}

/* Places at which the hash of the next `width` bytes (4 or 8) has its bit set; the number of places, perhaps above `room`. */
EXPORT int64_t afs_heads(const uint8_t *text, int64_t size, int64_t width, const uint8_t *bits, int64_t *out,
                         int64_t room)
{
    int64_t count = 0;
    for (int64_t at = 0; at + width <= size; at++) {
        uint64_t word = 0;
        if (width == 8) memcpy(&word, text + at, 8);
        else memcpy(&word, text + at, 4);
        uint64_t hash = word * 0x9E3779B97F4A7C15u >> 44;
        if (!(bits[hash >> 3] >> (hash & 7) & 1)) continue;
        if (count < room) out[count] = at;
        count++;
    }
    return count;
}

EXPORT int afs_candidates_version(void) { return VERSION; }

#ifdef AFS_PYTHON_MODULE
#include <Python.h>
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_candidates", NULL, -1, NULL, NULL, NULL, NULL, NULL};
PyMODINIT_FUNC PyInit__candidates(void) { return PyModule_Create(&definition); }
#endif
