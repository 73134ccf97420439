/* The quick lane (_quick.c): what it is given, and its requests, replies and values as bytes. */

#ifndef QUICK_LANE_H
#define QUICK_LANE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>

#define ARGUMENT_BYTES_MAX 4095 /* what is larger is rare */
#define ARGUMENTS_MAX 17        /* of a command */
#define QUEUED_MAX 32           /* commands between MULTI and EXEC; keys that a transaction writes */
#define WRITTEN_BYTES_MAX 4096  /* of a key or a value that another than the lane may have written */

typedef struct {
    const char *at, *end; /* the requests */
    char *out;            /* the replies */
    Py_ssize_t out_len, out_size, out_max;
    PyObject *heads;      /* key -> (commit_ts, value, older) */
    PyObject *superseded; /* list of (by ts, its own ts, key, value's bytes), where older versions are kept; or NULL */
    PyObject *writes;     /* list of (key, value), or of a list or dict of them, one a commit, for the log; or NULL */
    PyObject *execs;      /* list of (commit_ts, its writes), of the commits that were an EXEC's, if there is superseded */
    PyObject *watched;    /* of the burst's client: key -> commit_ts; NULL: its WATCH and MULTI are not for us */
    PyObject *client;     /* of the burst: begins transactions and ends them; or None */
    PyObject *transaction; /* its own, while one is open; or NULL */
    long long read_ts, commit_ts;
    PyObject *permits;    /* called once before the first write */
    int is_asked, may_write, proto;
    Py_ssize_t free_bytes; /* of the burst's replies: those before its first commit; negative: all */
    Py_ssize_t gets, sets, incrs, pings, hits, new_keys, watches, execs_total, starts, commits, own_gets;
} Lane;

typedef struct {
    const char *text;
    Py_ssize_t len;
} Slice;

enum { STOP = 0, DONE = 1, FAILED = -1 };

/* Requests */

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int read_any_count(Lane *lane, char mark, Py_ssize_t *count)
{
    const char *p = lane->at, *first;
    Py_ssize_t n = 0;
    if (p >= lane->end || *p != mark)
        return 0;
    first = ++p;
    while (p < lane->end && is_digit(*p) && p - first < 8)
        n = n * 10 + (*p++ - '0');
    if (p == first || p - first > 7 || (*first == '0' && p - first > 1) || lane->end - p < 2 || p[0] != '\r' || p[1] != '\n')
        return 0;
    lane->at = p + 2;
    *count = n;
    return 1;
}

/* A count behind its mark, as `*3\r\n`: at most 7 digits, none of them superfluous. Moves on only if it is there. Nearly
 * all have one digit or two, and those take a third of the time so. */
static int read_count(Lane *lane, char mark, Py_ssize_t *count)
{
    const char *p = lane->at;
    if (lane->end - p < 5 || p[0] != mark || !is_digit(p[1]))
        return read_any_count(lane, mark, count);
    if (p[2] == '\r' && p[3] == '\n') {
        *count = p[1] - '0';
        lane->at = p + 4;
        return 1;
    }
    if (p[1] == '0' || !is_digit(p[2]) || p[3] != '\r' || p[4] != '\n')
        return read_any_count(lane, mark, count);
    *count = 10 * (p[1] - '0') + (p[2] - '0');
    lane->at = p + 5;
    return 1;
}

static int read_argument(Lane *lane, Slice *slice)
{
    Py_ssize_t len;
    if (!read_count(lane, '$', &len) || len > ARGUMENT_BYTES_MAX || lane->end - lane->at < len + 2)
        return 0;
    slice->text = lane->at;
    slice->len = len;
    if (lane->at[len] != '\r' || lane->at[len + 1] != '\n')
        return 0;
    lane->at += len + 2;
    return 1;
}

static int is_word(Slice slice, const char *upper)
{
    Py_ssize_t i;
    for (i = 0; i < slice.len; i++)
        if (upper[i] == 0 || (slice.text[i] & ~0x20) != upper[i])
            return 0;
    return upper[slice.len] == 0;
}

/* Replies */

static int reserve(Lane *lane, Py_ssize_t more)
{
    if (lane->out_len + more > lane->out_size) {
        Py_ssize_t size = (lane->out_len + more) * 2;
        char *out = PyMem_Realloc(lane->out, size);
        if (out == NULL) {
            PyErr_NoMemory();
            return 0;
        }
        lane->out = out;
        lane->out_size = size;
    }
    return 1;
}

static int say(Lane *lane, const char *text, Py_ssize_t len)
{
    if (!reserve(lane, len))
        return FAILED;
    memcpy(lane->out + lane->out_len, text, len);
    lane->out_len += len;
    return DONE;
}

/* The number's digits; how many there are. sprintf takes a third of the time of a GET. */
static Py_ssize_t write_number(char *text, long long number)
{
    char digits[24], *p = digits + sizeof digits;
    unsigned long long left = number < 0 ? 0ULL - (unsigned long long)number : (unsigned long long)number;
    do
        *--p = '0' + left % 10;
    while (left /= 10);
    if (number < 0)
        *--p = '-';
    memcpy(text, p, digits + sizeof digits - p);
    return digits + sizeof digits - p;
}

static int say_bulk(Lane *lane, const char *text, Py_ssize_t len)
{
    char *out;
    if (!reserve(lane, len + 32))
        return FAILED;
    out = lane->out + lane->out_len;
    *out++ = '$';
    out += write_number(out, len);
    memcpy(out, "\r\n", 2);
    memcpy(out + 2, text, len);
    memcpy(out + 2 + len, "\r\n", 2);
    lane->out_len = out + len + 4 - lane->out;
    return DONE;
}

static int say_null(Lane *lane)
{
    return lane->proto == 3 ? say(lane, "_\r\n", 3) : say(lane, "$-1\r\n", 5);
}

static int say_integer(Lane *lane, long long number)
{
    char text[32] = ":";
    Py_ssize_t len = 1 + write_number(text + 1, number);
    memcpy(text + len, "\r\n", 2);
    return say(lane, text, len + 2);
}

/* Values */

/* What Redis's clients see of a JSON text; 0 if that takes more than cutting. */
static int raw_text(PyObject *value, Slice *raw)
{
    const char *text = PyBytes_AS_STRING(value);
    Py_ssize_t len = PyBytes_GET_SIZE(value);
    raw->text = text;
    raw->len = len;
    if (text[0] == '"') {
        raw->text = text + 1;
        raw->len = len - 2;
        return memchr(text, '\\', len) == NULL;
    }
    return text[0] != '{';
}

/* Whether the text stands for itself in a JSON string: printable ASCII but " and \\. No early end: so it goes 16 bytes at
 * a time. */
static int is_plain(Slice raw)
{
    Py_ssize_t i;
    unsigned char other = 0;
    for (i = 0; i < raw.len; i++) {
        unsigned char c = (unsigned char)raw.text[i];
        other |= (c < 0x20) | (c > 0x7e) | (c == '"') | (c == '\\');
    }
    return !other;
}

/* The JSON string of plain text; NULL without an error for anything else. */
static PyObject *json_string(Slice raw)
{
    PyObject *value;
    char *text;
    if (!is_plain(raw))
        return NULL;
    value = PyBytes_FromStringAndSize(NULL, raw.len + 2);
    if (value == NULL)
        return NULL;
    text = PyBytes_AS_STRING(value);
    text[0] = text[raw.len + 1] = '"';
    memcpy(text + 1, raw.text, raw.len);
    return value;
}

static int is_ascii(Slice slice)
{
    Py_ssize_t i;
    unsigned char any = 0;
    for (i = 0; i < slice.len; i++)
        any |= (unsigned char)slice.text[i];
    return any < 0x80;
}

/* A canonical integer of at most 18 digits. */
static int integer_of(Slice raw, long long *number)
{
    int negative = raw.len > 0 && raw.text[0] == '-';
    Py_ssize_t i = negative;
    long long n = 0;
    if (raw.len == i || raw.len - i > 18 || (raw.text[i] == '0' && (raw.len > 1)))
        return 0;
    for (; i < raw.len; i++) {
        if (raw.text[i] < '0' || raw.text[i] > '9')
            return 0;
        n = n * 10 + (raw.text[i] - '0');
    }
    *number = negative ? -n : n;
    return 1;
}

#endif
