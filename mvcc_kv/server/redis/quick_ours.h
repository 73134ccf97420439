/* The quick lane (_quick.c): transactions of ours, START, GET, SET ..., COMMIT, in as many bursts as the client likes. They
 * are Python's objects, and told of each read and write; only what there is to a commit is looked at here. */

#ifndef QUICK_OURS_H
#define QUICK_OURS_H

#include "quick_transactions.h"

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
    if (PyLong_AsLongLong(PyTuple_GET_ITEM(head, 0)) > start_ts)
        return STOP;
    if (!PyBytes_CheckExact(key) || !PyBytes_CheckExact(value))
        return STOP; /* deleted, or it expires */
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

#endif
