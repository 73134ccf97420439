/* The quick lane (_quick.c): versions, leave to write, and the commit of one key. */

#ifndef QUICK_VERSIONS_H
#define QUICK_VERSIONS_H

#include "quick_lane.h"

/* What Python's objects are asked for, by name. */
static PyObject *word_beside, *word_begin, *word_end, *word_get, *word_put;
static PyObject *word_transaction, *word_writes, *word_start_ts;

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

/* A tuple of these, whose references it takes; NULL if one of them is. The collector need not look at it: they refer to
 * nothing that could refer back. */
static PyObject *tuple_of(Py_ssize_t count, PyObject *const items[])
{
    PyObject *tuple = PyTuple_New(count);
    Py_ssize_t i;
    int failed = tuple == NULL;
    for (i = 0; i < count; i++) {
        failed = failed || items[i] == NULL;
        if (tuple != NULL)
            PyTuple_SET_ITEM(tuple, i, items[i]);
        else
            Py_XDECREF(items[i]);
    }
    if (tuple != NULL)
        PyObject_GC_UnTrack(tuple);
    if (failed)
        Py_CLEAR(tuple);
    return tuple;
}

static PyObject *pair_of(PyObject *key, PyObject *value)
{
    PyObject *items[] = {Py_NewRef(key), Py_NewRef(value)};
    return tuple_of(2, items);
}

/* The next commit takes the place of this version, if there is one: whoever keeps older ones is told. */
static int note_superseded(Lane *lane, PyObject *key, PyObject *head)
{
    if (lane->superseded == NULL || head == NULL)
        return DONE;
    PyObject *items[] = {PyLong_FromLongLong(lane->commit_ts + 1), Py_NewRef(PyTuple_GET_ITEM(head, 0)), Py_NewRef(key),
                         PyLong_FromSsize_t(PyBytes_GET_SIZE(PyTuple_GET_ITEM(head, 1)))};
    return append(lane->superseded, tuple_of(4, items));
}

/* Tell the log and collection of the commit, then link it: `node` on top of `head`, which is NULL for a new key. */
static int link_version(Lane *lane, PyObject *key, PyObject *value, PyObject *head, PyObject *node)
{
    if (lane->writes != NULL && append(lane->writes, pair_of(key, value)) == FAILED)
        return FAILED;
    if (note_superseded(lane, key, head) == FAILED)
        return FAILED;
    if (head == NULL) /* only a new key costs an ordered insert */
        return PyObject_SetItem(lane->heads, key, node) ? FAILED : DONE;
    return PyDict_SetItem(lane->heads, key, node) ? FAILED : DONE;
}

/* (commit_ts, value, older): nodes refer to older ones only, so there is no cycle for the collector to find, and to take
 * one out of its lists again would cost two cache misses. */
static PyObject *new_node(long long commit_ts, PyObject *value, PyObject *older)
{
    PyObject *items[] = {PyLong_FromLongLong(commit_ts), Py_NewRef(value), Py_NewRef(older)};
    return tuple_of(3, items);
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

#endif
