/* The quick lane (_quick.c): WATCH, and MULTI, SET ..., EXEC in one burst; what is one commit of several keys. */

#ifndef QUICK_TRANSACTIONS_H
#define QUICK_TRANSACTIONS_H

#include "quick_versions.h"

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
        return pair_of(queue->key, queue->value);
    writes = PyList_New(0);
    for (i = 0; writes != NULL && i < count; i++)
        if (append(writes, pair_of(queue[i].key, queue[i].value)) == FAILED)
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

#endif
