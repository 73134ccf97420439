/* The quick lane, compiled: see quick.py, whose `run_in_python` this is to the letter. It knows PING, GET, SET, INCR,
 * WATCH, MULTI, SET ..., EXEC, and START, GET, SET ..., COMMIT in the one form in which clients write them, and stops
 * before everything else: what isn't whole, isn't canonical, expires, wants escapes, overflows. Rule: a command is
 * executed altogether or not touched; when this stops, Python goes on there. */

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

/* What Python's objects are asked for, by name. */
static PyObject *word_beside, *word_begin, *word_end, *word_get, *word_put, *word_transaction, *word_writes, *word_start_ts;

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

/* Versions */

/* The value that is seen at `ts`: borrowed; NULL if there is none. STOP for a version that this lane doesn't know. */
static int value_at(PyObject *node, long long ts, PyObject **value)
{
    *value = NULL;
    while (node != NULL && node != Py_None) {
        long long commit_ts;
        if (!PyTuple_CheckExact(node) || PyTuple_GET_SIZE(node) != 3)
            return STOP;
        commit_ts = PyLong_AsLongLong(PyTuple_GET_ITEM(node, 0));
        if (commit_ts <= ts) {
            PyObject *found = PyTuple_GET_ITEM(node, 1);
            if (found == Py_None)
                return DONE;
            if (!PyBytes_CheckExact(found) || PyBytes_GET_SIZE(found) == 0)
                return STOP;
            *value = found;
            return DONE;
        }
        node = PyTuple_GET_ITEM(node, 2);
    }
    return DONE;
}

/* Append what is built here, and let it go. */
static int append(PyObject *list, PyObject *item)
{
    int failed = item == NULL || PyList_Append(list, item);
    Py_XDECREF(item);
    return failed ? FAILED : DONE;
}

static void truncate_to(PyObject *list, Py_ssize_t len)
{
    if (list != NULL)
        PyList_SetSlice(list, len, PY_SSIZE_T_MAX, NULL);
}

/* The next commit takes the place of this version, if there is one: whoever keeps older ones is told. */
static int note_superseded(Lane *lane, PyObject *key, PyObject *head)
{
    PyObject *value;
    if (lane->superseded == NULL || head == NULL)
        return DONE;
    value = PyTuple_GET_ITEM(head, 1);
    return append(lane->superseded, Py_BuildValue("LOOn", lane->commit_ts + 1, PyTuple_GET_ITEM(head, 0), key, PyBytes_GET_SIZE(value)));
}

/* Tell the log and collection of the commit, then link it: `node` on top of `head`, which is NULL for a new key. */
static int link_version(Lane *lane, PyObject *key, PyObject *value, PyObject *head, PyObject *node)
{
    if (lane->writes != NULL && append(lane->writes, PyTuple_Pack(2, key, value)) == FAILED)
        return FAILED;
    if (note_superseded(lane, key, head) == FAILED)
        return FAILED;
    if (head == NULL) /* only a new key costs an ordered insert */
        return PyObject_SetItem(lane->heads, key, node) ? FAILED : DONE;
    return PyDict_SetItem(lane->heads, key, node) ? FAILED : DONE;
}

/* (commit_ts, value, older), all its own references. The collector need not look at it: nodes refer to older ones only,
 * so there is no cycle for it to find, and to take a node out of its lists again would cost two cache misses. */
static PyObject *new_node(long long commit_ts, PyObject *value, PyObject *older)
{
    PyObject *node = PyTuple_New(3), *ts = PyLong_FromLongLong(commit_ts);
    if (node == NULL || ts == NULL) {
        Py_XDECREF(node);
        Py_XDECREF(ts);
        return NULL;
    }
    Py_INCREF(value);
    Py_INCREF(older);
    PyTuple_SET_ITEM(node, 0, ts);
    PyTuple_SET_ITEM(node, 1, value);
    PyTuple_SET_ITEM(node, 2, older);
    PyObject_GC_UnTrack(node);
    return node;
}

/* Put a version in the place of one that only the index refers to, and nobody can see any more: who reads it at this
 * moment, in whatever thread, refers to it too. That spares a second look into the index. */
static int renew(Lane *lane, PyObject *value, PyObject *node)
{
    PyObject *ts = PyLong_FromLongLong(lane->commit_ts + 1);
    PyObject *old_ts = PyTuple_GET_ITEM(node, 0), *old_value = PyTuple_GET_ITEM(node, 1), *older = PyTuple_GET_ITEM(node, 2);
    if (ts == NULL)
        return FAILED;
    Py_INCREF(value);
    Py_INCREF(Py_None);
    PyTuple_SET_ITEM(node, 0, ts);
    PyTuple_SET_ITEM(node, 1, value);
    PyTuple_SET_ITEM(node, 2, Py_None);
    Py_DECREF(old_ts);
    Py_DECREF(old_value);
    Py_DECREF(older);
    return DONE;
}

static int replace(Lane *lane, PyObject *key, PyObject *value, PyObject *head)
{
    PyObject *older = head != NULL && lane->superseded != NULL ? head : Py_None;
    PyObject *node = new_node(lane->commit_ts + 1, value, older);
    int outcome = node == NULL ? FAILED : link_version(lane, key, value, head, node);
    Py_XDECREF(node);
    return outcome;
}

/* One commit of one key. If it fails nothing has happened. */
static int commit(Lane *lane, PyObject *key, PyObject *value, PyObject *head)
{
    Py_ssize_t writes = lane->writes == NULL ? 0 : PyList_GET_SIZE(lane->writes);
    Py_ssize_t superseded = lane->superseded == NULL ? 0 : PyList_GET_SIZE(lane->superseded);
    int is_alone = head != NULL && lane->superseded == NULL && lane->writes == NULL && Py_REFCNT(head) == 1;
    int outcome = is_alone ? renew(lane, value, head) : replace(lane, key, value, head);
    if (outcome == FAILED) {
        truncate_to(lane->writes, writes);
        truncate_to(lane->superseded, superseded);
        return FAILED;
    }
    if (lane->free_bytes < 0)
        lane->free_bytes = lane->out_len;
    lane->commit_ts++;
    lane->read_ts = lane->commit_ts;
    lane->new_keys += head == NULL;
    return DONE;
}

/* Take a permit, or what is none: STOP. Its lists are kept by who gives them. */
static int take_permit(Lane *lane, PyObject *permit)
{
    PyObject *superseded, *writes;
    if (permit == NULL)
        return FAILED;
    lane->is_asked = 1;
    lane->may_write = 0;
    if (permit != Py_None && PyArg_ParseTuple(permit, "OO", &superseded, &writes)) {
        lane->superseded = superseded == Py_None ? NULL : superseded;
        lane->writes = writes == Py_None ? NULL : writes;
        lane->may_write = 1;
    }
    Py_DECREF(permit);
    return lane->may_write ? DONE : PyErr_Occurred() ? FAILED : STOP;
}

/* Whether this may write: STOP if not. Asks for it the first time. */
static int get_permit(Lane *lane)
{
    if (lane->is_asked)
        return lane->may_write ? DONE : STOP;
    return take_permit(lane, PyObject_CallNoArgs(lane->permits));
}

/* The same where a snapshot is to be minded. */
static int get_permit_beside(Lane *lane)
{
    if (lane->is_asked && !(lane->may_write && lane->superseded == NULL))
        return lane->may_write ? DONE : STOP;
    return take_permit(lane, PyObject_CallMethodNoArgs(lane->permits, word_beside));
}

/* The key as an object, and its head: borrowed; NULL if there is none. STOP where writing takes more than this. */
static int find_for_writing(Lane *lane, Slice name, PyObject **key, PyObject **head)
{
    int outcome = is_ascii(name) ? get_permit(lane) : STOP;
    if (outcome != DONE)
        return outcome;
    *key = PyBytes_FromStringAndSize(name.text, name.len);
    if (*key == NULL)
        return FAILED;
    *head = PyDict_GetItemWithError(lane->heads, *key);
    if (*head == NULL)
        return PyErr_Occurred() ? FAILED : DONE;
    if (!PyTuple_CheckExact(*head) || PyTuple_GET_SIZE(*head) != 3 || !PyBytes_CheckExact(PyTuple_GET_ITEM(*head, 1)))
        return STOP; /* deleted, or it expires */
    return DONE;
}

/* Commands */

static int say_null(Lane *lane)
{
    return lane->proto == 3 ? say(lane, "_\r\n", 3) : say(lane, "$-1\r\n", 5);
}

static int get(Lane *lane, Slice name)
{
    PyObject *key = PyBytes_FromStringAndSize(name.text, name.len), *head, *value;
    Slice raw;
    if (key == NULL)
        return FAILED;
    head = PyDict_GetItemWithError(lane->heads, key);
    Py_DECREF(key);
    if (head == NULL && PyErr_Occurred())
        return FAILED;
    if (value_at(head, lane->read_ts, &value) == STOP)
        return STOP;
    if (value == NULL) {
        lane->gets++;
        return say_null(lane);
    }
    if (!raw_text(value, &raw))
        return STOP;
    lane->gets++;
    lane->hits++;
    return say_bulk(lane, raw.text, raw.len);
}

static int set(Lane *lane, Slice name, Slice raw)
{
    PyObject *key = NULL, *head, *value;
    int outcome = find_for_writing(lane, name, &key, &head);
    if (outcome == DONE) {
        value = json_string(raw);
        outcome = value != NULL ? commit(lane, key, value, head) : PyErr_Occurred() ? FAILED : STOP;
        Py_XDECREF(value);
    }
    Py_XDECREF(key);
    if (outcome != DONE)
        return outcome;
    lane->sets++;
    return say(lane, "+OK\r\n", 5);
}

static int incr(Lane *lane, Slice name)
{
    PyObject *key = NULL, *head, *value;
    long long number = 0;
    char text[32];
    Slice raw;
    Py_ssize_t len;
    int outcome = find_for_writing(lane, name, &key, &head);
    if (outcome == DONE && head != NULL && !(raw_text(PyTuple_GET_ITEM(head, 1), &raw) && integer_of(raw, &number)))
        outcome = STOP;
    text[0] = ':';
    len = write_number(text + 1, number + 1);
    if (outcome == DONE) {
        value = PyBytes_FromStringAndSize(text + 1, len);
        outcome = value == NULL ? FAILED : commit(lane, key, value, head);
        Py_XDECREF(value);
    }
    Py_XDECREF(key);
    if (outcome != DONE)
        return outcome;
    lane->incrs++;
    memcpy(text + 1 + len, "\r\n", 2);
    return say(lane, text, len + 3);
}

/* Transactions: WATCH, and MULTI, SET ..., EXEC in one burst. */

/* The key's head, if it has a value that the client can see: borrowed. NULL without an error: not for us. */
static PyObject *visible_head(Lane *lane, PyObject *key)
{
    PyObject *head = PyDict_GetItemWithError(lane->heads, key), *value;
    if (head == NULL || !PyTuple_CheckExact(head) || PyTuple_GET_SIZE(head) != 3)
        return NULL;
    if (PyLong_AsLongLong(PyTuple_GET_ITEM(head, 0)) > lane->read_ts)
        return NULL;
    value = PyTuple_GET_ITEM(head, 1);
    return PyBytes_CheckExact(value) ? head : NULL;
}

static int watch_key(Lane *lane, Slice name, int is_rehearsal)
{
    PyObject *key = PyBytes_FromStringAndSize(name.text, name.len), *head;
    int outcome = STOP;
    if (key == NULL)
        return FAILED;
    head = visible_head(lane, key);
    if (head != NULL)
        outcome = is_rehearsal || PyDict_SetDefault(lane->watched, key, PyTuple_GET_ITEM(head, 0)) != NULL ? DONE : FAILED;
    else if (PyErr_Occurred())
        outcome = FAILED;
    Py_DECREF(key);
    return outcome;
}

static int watch(Lane *lane, Slice *names, Py_ssize_t count)
{
    Py_ssize_t i;
    int is_rehearsal, outcome = lane->watched != NULL ? DONE : STOP;
    for (is_rehearsal = 1; is_rehearsal >= 0; is_rehearsal--)
        for (i = 0; outcome == DONE && i < count; i++)
            outcome = watch_key(lane, names[i], is_rehearsal);
    if (outcome != DONE)
        return outcome;
    lane->watches++;
    return say(lane, "+OK\r\n", 5);
}

/* Whether a key has another newest version than when it was watched. */
static int is_lost(Lane *lane)
{
    PyObject *key, *ts, *head;
    Py_ssize_t at = 0;
    while (PyDict_Next(lane->watched, &at, &key, &ts)) {
        head = PyDict_GetItemWithError(lane->heads, key);
        if (head == NULL || PyLong_AsLongLong(PyTuple_GET_ITEM(head, 0)) != PyLong_AsLongLong(ts))
            return 1;
    }
    return 0;
}

typedef struct {
    PyObject *key, *value, *head; /* its own, its own, borrowed */
} Queued;

/* What a SET between MULTI and EXEC will do. STOP for a key that isn't there, or was set by one of those before. */
static int prepare(Lane *lane, Slice name, Slice raw, Queued *queue, Py_ssize_t count)
{
    Queued *one = &queue[count];
    Py_ssize_t i;
    int outcome = find_for_writing(lane, name, &one->key, &one->head);
    if (outcome != DONE)
        return outcome;
    if (one->head == NULL)
        return STOP;
    for (i = 0; i < count; i++)
        if (queue[i].head == one->head)
            return STOP;
    one->value = json_string(raw);
    return one->value != NULL ? DONE : PyErr_Occurred() ? FAILED : STOP;
}

/* The SETs up to EXEC, which is read too. */
static int read_queue(Lane *lane, Queued *queue, Py_ssize_t *count)
{
    Slice arguments[3];
    Py_ssize_t len, i;
    for (*count = 0; *count < QUEUED_MAX; (*count)++) {
        int outcome;
        if (!read_count(lane, '*', &len) || len < 1 || len > 3)
            return STOP;
        for (i = 0; i < len; i++)
            if (!read_argument(lane, &arguments[i]))
                return STOP;
        if (len == 1)
            return *count > 0 && is_word(arguments[0], "EXEC") ? DONE : STOP;
        if (len != 3 || !is_word(arguments[0], "SET"))
            return STOP;
        outcome = prepare(lane, arguments[1], arguments[2], queue, *count);
        if (outcome != DONE) {
            ++*count; /* it may hold something */
            return outcome;
        }
    }
    return STOP;
}

/* What an EXEC writes, for the log: a dict, which has the label. */
static PyObject *labelled_writes(Queued *queue, Py_ssize_t count)
{
    PyObject *writes = PyDict_New();
    Py_ssize_t i;
    for (i = 0; writes != NULL && i < count; i++)
        if (PyDict_SetItem(writes, queue[i].key, queue[i].value))
            Py_CLEAR(writes);
    return writes;
}

/* What a COMMIT writes, for the log: one or several. */
static PyObject *plain_writes(Queued *queue, Py_ssize_t count)
{
    PyObject *writes;
    Py_ssize_t i;
    if (count == 1)
        return PyTuple_Pack(2, queue->key, queue->value);
    writes = PyList_New(0);
    for (i = 0; writes != NULL && i < count; i++)
        if (append(writes, PyTuple_Pack(2, queue[i].key, queue[i].value)) == FAILED)
            Py_CLEAR(writes);
    return writes;
}

/* Tell the log, and who keeps older versions, of the commit that is to come. */
static int note_queue(Lane *lane, Queued *queue, Py_ssize_t count, int is_exec)
{
    Py_ssize_t i;
    int outcome = DONE;
    for (i = 0; outcome == DONE && i < count; i++)
        outcome = note_superseded(lane, queue[i].key, queue[i].head);
    if (outcome == DONE && is_exec && lane->superseded != NULL)
        outcome = append(lane->execs, Py_BuildValue("Ln", lane->commit_ts + 1, count));
    if (outcome == FAILED || lane->writes == NULL)
        return outcome;
    return append(lane->writes, is_exec ? labelled_writes(queue, count) : plain_writes(queue, count));
}

/* The nodes of the commit that is to come; how many could be made. */
static Py_ssize_t make_nodes(Lane *lane, Queued *queue, Py_ssize_t count, PyObject **nodes)
{
    Py_ssize_t made;
    for (made = 0; made < count; made++) {
        PyObject *older = lane->superseded != NULL ? queue[made].head : Py_None;
        nodes[made] = new_node(lane->commit_ts + 1, queue[made].value, older);
        if (nodes[made] == NULL)
            break;
    }
    return made;
}

/* The transaction is over, committed as that, as far as its client knows; STOP if that takes more than this. */
static int end_transaction(Lane *lane, long long commit_ts)
{
    PyObject *ts = PyLong_FromLongLong(commit_ts), *ended = NULL;
    int outcome;
    if (ts != NULL)
        ended = PyObject_CallMethodObjArgs(lane->client, word_end, lane->permits, ts, NULL);
    Py_XDECREF(ts);
    outcome = ended == NULL ? FAILED : ended == Py_True ? DONE : STOP;
    Py_XDECREF(ended);
    if (outcome == DONE)
        Py_CLEAR(lane->transaction);
    return outcome;
}

/* One commit of them all, an EXEC's or a transaction's. Whatever takes memory, or may be refused, comes first: every key
 * is there, so linking takes none. */
static int commit_queue(Lane *lane, Queued *queue, Py_ssize_t count, int is_exec)
{
    PyObject *nodes[QUEUED_MAX];
    Py_ssize_t writes = lane->writes == NULL ? 0 : PyList_GET_SIZE(lane->writes);
    Py_ssize_t superseded = lane->superseded == NULL ? 0 : PyList_GET_SIZE(lane->superseded);
    Py_ssize_t i, execs = PyList_GET_SIZE(lane->execs), made = make_nodes(lane, queue, count, nodes);
    int outcome = made == count ? note_queue(lane, queue, count, is_exec) : FAILED;
    if (outcome == DONE && !is_exec)
        outcome = end_transaction(lane, lane->commit_ts + 1);
    for (i = 0; i < made; i++) {
        if (outcome == DONE && PyDict_SetItem(lane->heads, queue[i].key, nodes[i]))
            Py_FatalError("no memory in the midst of a commit");
        Py_DECREF(nodes[i]);
    }
    if (outcome != DONE) {
        truncate_to(lane->writes, writes);
        truncate_to(lane->superseded, superseded);
        truncate_to(lane->execs, execs);
        return outcome;
    }
    lane->commit_ts++;
    lane->read_ts = lane->commit_ts;
    return DONE;
}

static int say_times(Lane *lane, const char *text, Py_ssize_t times)
{
    int outcome = DONE;
    while (outcome == DONE && times-- > 0)
        outcome = say(lane, text, strlen(text));
    return outcome;
}

/* The replies to what was queued, and to EXEC; `free_bytes` as for any commit. There is room for them. */
static int say_executed(Lane *lane, Py_ssize_t count, int lost)
{
    char text[32] = "*";
    Py_ssize_t len;
    say(lane, "+OK\r\n", 5);
    say_times(lane, "+QUEUED\r\n", count);
    if (lost)
        return lane->proto == 3 ? say(lane, "_\r\n", 3) : say(lane, "*-1\r\n", 5);
    if (lane->free_bytes < 0)
        lane->free_bytes = lane->out_len;
    len = 1 + write_number(text + 1, count);
    memcpy(text + len, "\r\n", 2);
    say(lane, text, len + 2);
    return say_times(lane, "+OK\r\n", count);
}

static void let_go(Queued *queue, Py_ssize_t count)
{
    Py_ssize_t i;
    for (i = 0; i < count; i++) {
        Py_XDECREF(queue[i].key);
        Py_XDECREF(queue[i].value);
    }
}

/* MULTI was read. */
static int multi(Lane *lane)
{
    Queued queue[QUEUED_MAX] = {{NULL, NULL, NULL}};
    Py_ssize_t count;
    int lost, outcome;
    if (lane->watched == NULL)
        return STOP;
    outcome = get_permit(lane);
    if (outcome != DONE)
        return outcome;
    outcome = read_queue(lane, queue, &count);
    lost = outcome == DONE && is_lost(lane);
    if (outcome == DONE && !reserve(lane, 64 + 16 * count)) /* room for the replies comes first: what was done is told */
        outcome = FAILED;
    if (outcome == DONE && !lost)
        outcome = commit_queue(lane, queue, count, 1);
    let_go(queue, count);
    if (outcome != DONE)
        return outcome;
    PyDict_Clear(lane->watched);
    lane->execs_total++;
    lane->sets += lost ? 0 : count;
    return say_executed(lane, count, lost);
}

/* Transactions of ours: START, GET, SET ..., COMMIT, in as many bursts as the client likes. */

static int say_integer(Lane *lane, long long number)
{
    char text[32] = ":";
    Py_ssize_t len = 1 + write_number(text + 1, number);
    memcpy(text + len, "\r\n", 2);
    return say(lane, text, len + 2);
}

static int start(Lane *lane)
{
    PyObject *ts, *begun;
    int outcome = lane->client == Py_None ? STOP : get_permit_beside(lane);
    if (outcome != DONE)
        return outcome;
    ts = PyLong_FromLongLong(lane->read_ts);
    if (ts == NULL)
        return FAILED;
    begun = PyObject_CallMethodObjArgs(lane->client, word_begin, lane->permits, ts, NULL);
    Py_DECREF(ts);
    if (begun == NULL || begun == Py_None) {
        Py_XDECREF(begun);
        return begun == NULL ? FAILED : STOP;
    }
    lane->transaction = begun;
    lane->starts++;
    return say_integer(lane, lane->read_ts);
}

static int get_within(Lane *lane, Slice name)
{
    PyObject *key = PyBytes_FromStringAndSize(name.text, name.len), *value;
    Slice raw;
    int outcome = STOP;
    if (key == NULL)
        return FAILED;
    value = PyObject_CallMethodOneArg(lane->transaction, word_get, key);
    Py_DECREF(key);
    if (value == NULL)
        return FAILED;
    if (value == Py_None)
        outcome = say_null(lane);
    else if (PyBytes_CheckExact(value) && PyBytes_GET_SIZE(value) > 0 && raw_text(value, &raw))
        outcome = say_bulk(lane, raw.text, raw.len);
    Py_DECREF(value);
    if (outcome == DONE) {
        lane->gets++;
        lane->own_gets++;
    }
    return outcome;
}

static int set_within(Lane *lane, Slice name, Slice raw)
{
    PyObject *key, *value, *put = NULL;
    if (!is_ascii(name))
        return STOP;
    value = json_string(raw);
    if (value == NULL)
        return PyErr_Occurred() ? FAILED : STOP;
    key = PyBytes_FromStringAndSize(name.text, name.len);
    if (key != NULL)
        put = PyObject_CallMethodObjArgs(lane->transaction, word_put, key, value, NULL);
    Py_XDECREF(key);
    Py_DECREF(value);
    if (put == NULL)
        return FAILED;
    Py_DECREF(put);
    lane->sets++;
    return say(lane, "+OK\r\n", 5);
}

/* What a transaction has put for a key, if that can be committed here: the key is there, and as its snapshot has it. */
static int take_write(Lane *lane, PyObject *key, PyObject *value, long long start_ts, Queued *one)
{
    PyObject *head = PyDict_GetItemWithError(lane->heads, key);
    if (head == NULL)
        return PyErr_Occurred() ? FAILED : STOP;
    if (!PyTuple_CheckExact(head) || PyTuple_GET_SIZE(head) != 3 || !PyBytes_CheckExact(PyTuple_GET_ITEM(head, 1)))
        return STOP;
    if (PyLong_AsLongLong(PyTuple_GET_ITEM(head, 0)) > start_ts || !PyBytes_CheckExact(key) || !PyBytes_CheckExact(value))
        return STOP;
    if (PyBytes_GET_SIZE(key) > WRITTEN_BYTES_MAX || PyBytes_GET_SIZE(value) > WRITTEN_BYTES_MAX)
        return STOP;
    Py_INCREF(key);
    Py_INCREF(value);
    one->key = key;
    one->value = value;
    one->head = head;
    return DONE;
}

static int take_writes(Lane *lane, PyObject *writes, long long start_ts, Queued *queue, Py_ssize_t *count)
{
    PyObject *key, *value;
    Py_ssize_t at = 0;
    int outcome = DONE;
    if (!PyDict_CheckExact(writes) || PyDict_GET_SIZE(writes) > QUEUED_MAX)
        return STOP;
    while (outcome == DONE && PyDict_Next(writes, &at, &key, &value)) {
        outcome = take_write(lane, key, value, start_ts, &queue[*count]);
        *count += outcome == DONE;
    }
    return outcome;
}

/* What the transaction has written; STOP if it is more than this can commit, or has lost. */
static int ask_for_writes(Lane *lane, long long *start_ts, Queued *queue, Py_ssize_t *count)
{
    PyObject *ts = PyObject_GetAttr(lane->transaction, word_start_ts), *writes;
    int outcome;
    if (ts == NULL)
        return FAILED;
    *start_ts = PyLong_AsLongLong(ts);
    Py_DECREF(ts);
    writes = PyObject_GetAttr(lane->transaction, word_writes);
    if (writes == NULL)
        return FAILED;
    outcome = take_writes(lane, writes, *start_ts, queue, count);
    Py_DECREF(writes);
    return outcome;
}

/* COMMIT */
static int end(Lane *lane)
{
    Queued queue[QUEUED_MAX];
    Py_ssize_t count = 0;
    long long ts = 0;
    int outcome = get_permit_beside(lane);
    if (outcome != DONE)
        return outcome;
    outcome = ask_for_writes(lane, &ts, queue, &count);
    if (outcome == DONE)
        outcome = count ? commit_queue(lane, queue, count, 0) : end_transaction(lane, ts);
    let_go(queue, count);
    if (outcome != DONE)
        return outcome;
    lane->commits++;
    if (count && lane->free_bytes < 0)
        lane->free_bytes = lane->out_len;
    return say_integer(lane, count ? lane->commit_ts : ts);
}

/* Any command */

/* While a transaction is open. */
static int execute_within(Lane *lane, Slice *arguments, Py_ssize_t count)
{
    if (count == 2 && is_word(arguments[0], "GET"))
        return get_within(lane, arguments[1]);
    if (count == 3 && is_word(arguments[0], "SET"))
        return set_within(lane, arguments[1], arguments[2]);
    if (count == 1 && is_word(arguments[0], "COMMIT"))
        return end(lane);
    return STOP;
}

static int execute(Lane *lane)
{
    Py_ssize_t count, i;
    Slice arguments[ARGUMENTS_MAX];
    if (!read_count(lane, '*', &count) || count < 1 || count > ARGUMENTS_MAX)
        return STOP;
    for (i = 0; i < count; i++)
        if (!read_argument(lane, &arguments[i]))
            return STOP;
    if (lane->transaction != NULL)
        return execute_within(lane, arguments, count);
    if (count == 2 && is_word(arguments[0], "GET"))
        return get(lane, arguments[1]);
    if (count == 3 && is_word(arguments[0], "SET"))
        return set(lane, arguments[1], arguments[2]);
    if (count == 2 && is_word(arguments[0], "INCR"))
        return incr(lane, arguments[1]);
    if (count == 1 && is_word(arguments[0], "MULTI"))
        return multi(lane);
    if (count >= 2 && is_word(arguments[0], "WATCH"))
        return watch(lane, arguments + 1, count - 1);
    if (count == 1 && is_word(arguments[0], "START"))
        return start(lane);
    if (count == 1 && is_word(arguments[0], "PING")) {
        lane->pings++;
        return say(lane, "+PONG\r\n", 7);
    }
    return STOP;
}

/* Bursts */

static void run_burst(Lane *lane, const char *begun, Py_ssize_t len)
{
    int outcome = DONE;
    lane->at = begun;
    lane->end = begun + len;
    lane->out_len = 0;
    lane->free_bytes = -1;
    while (outcome == DONE && lane->at < lane->end && lane->out_len < lane->out_max) {
        const char *command = lane->at;
        /* Room for the reply to a write comes first: what was done can be told. */
        outcome = reserve(lane, 64) ? execute(lane) : FAILED;
        if (outcome != DONE)
            lane->at = command;
    }
    PyErr_Clear(); /* no memory: what was done stands, and Python finds out at the next command */
}

/* The transaction that the burst's client is in, if the lane may go on in it. */
static int find_transaction(Lane *lane)
{
    PyObject *found;
    if (lane->client == Py_None)
        return DONE;
    found = PyObject_GetAttr(lane->client, word_transaction);
    if (found == NULL)
        return FAILED;
    if (found == Py_None)
        Py_CLEAR(found);
    lane->transaction = found;
    return DONE;
}

/* Run one burst, and say of it what quick.py says; `seen_ts` is the newest commit that everybody sees. */
static int take_burst(Lane *lane, PyObject *burst, Py_ssize_t number, long long seen_ts, PyObject *replies, PyObject *rest)
{
    PyObject *data, *watched;
    Py_ssize_t len;
    int is_over, is_free;
    if (!PyArg_ParseTuple(burst, "SiOO", &data, &lane->proto, &watched, &lane->client) || find_transaction(lane) == FAILED)
        return FAILED;
    lane->watched = PyDict_CheckExact(watched) ? watched : NULL;
    len = PyBytes_GET_SIZE(data);
    lane->read_ts = lane->may_write && lane->writes == NULL ? lane->commit_ts : seen_ts;
    run_burst(lane, PyBytes_AS_STRING(data), len);
    Py_CLEAR(lane->transaction);
    is_over = lane->at == lane->end;
    is_free = lane->free_bytes < 0 || lane->writes == NULL;
    if (append(replies, PyBytes_FromStringAndSize(lane->out, lane->out_len)) == FAILED)
        return FAILED;
    if (is_over && is_free)
        return DONE;
    return append(rest, Py_BuildValue("nnnL", number, (Py_ssize_t)(len - (lane->end - lane->at)),
                                      is_free ? lane->out_len : lane->free_bytes, is_free ? 0LL : lane->commit_ts));
}

static PyObject *run_bursts(Lane *lane, PyObject *bursts, long long seen_ts)
{
    PyObject *replies = PyList_New(0), *rest = PyList_New(0), *result = NULL;
    Py_ssize_t i;
    int outcome = replies != NULL && rest != NULL ? DONE : FAILED;
    for (i = 0; outcome == DONE && i < PyList_GET_SIZE(bursts); i++)
        outcome = take_burst(lane, PyList_GET_ITEM(bursts, i), i, seen_ts, replies, rest);
    if (outcome == DONE)
        result = Py_BuildValue("OOLnnnnnnnnnnnO", replies, rest, lane->commit_ts, lane->gets, lane->sets, lane->incrs,
                               lane->pings, lane->hits, lane->new_keys, lane->watches, lane->execs_total, lane->starts,
                               lane->commits, lane->own_gets, lane->execs);
    Py_XDECREF(replies);
    Py_XDECREF(rest);
    return result;
}

static PyObject *run(PyObject *module, PyObject *arguments)
{
    Lane lane = {0};
    PyObject *bursts, *result;
    long long seen_ts, begun_ts;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "O!nO!LLO", &PyList_Type, &bursts, &lane.out_max, &PyDict_Type, &lane.heads,
                          &seen_ts, &lane.commit_ts, &lane.permits))
        return NULL;
    lane.out_size = 4096;
    lane.out = PyMem_Malloc(lane.out_size);
    lane.execs = lane.out == NULL ? NULL : PyList_New(0);
    if (lane.execs == NULL) {
        PyMem_Free(lane.out);
        return PyErr_NoMemory();
    }
    begun_ts = lane.commit_ts;
    result = run_bursts(&lane, bursts, seen_ts);
    if (result == NULL && lane.commit_ts != begun_ts) /* a store that doesn't know of its commits must not go on */
        Py_FatalError("no memory to tell what was committed");
    PyMem_Free(lane.out);
    Py_DECREF(lane.execs);
    return result;
}

static PyMethodDef methods[] = {
    {"run", run, METH_VARARGS, "Execute what stands at the beginning of each burst; see quick.py."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_quick", NULL, 0, methods, NULL, NULL, NULL, NULL};

static int learn(PyObject **word, const char *text)
{
    return *word != NULL || (*word = PyUnicode_InternFromString(text)) != NULL;
}

PyMODINIT_FUNC PyInit__quick(void)
{
    if (!learn(&word_beside, "beside") || !learn(&word_begin, "begin") || !learn(&word_end, "end"))
        return NULL;
    if (!learn(&word_get, "get") || !learn(&word_put, "put") || !learn(&word_transaction, "transaction"))
        return NULL;
    if (!learn(&word_writes, "writes") || !learn(&word_start_ts, "start_ts"))
        return NULL;
    return PyModule_Create(&definition);
}
