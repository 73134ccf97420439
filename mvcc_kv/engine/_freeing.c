/* Freeing what a flush superseded, compiled: see freeing.py, whose `free_in_python` this does.
 *
 * Nodes are immutable to whoever holds one. Where nobody does - each node on the way has one reference only, that of the
 * dict or of the node above it, and the interpreter's lock is ours - the chain is cut in place; else nodes are made anew. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define TS(node) PyTuple_GET_ITEM(node, 0)
#define VALUE(node) PyTuple_GET_ITEM(node, 1)
#define OLDER(node) PyTuple_GET_ITEM(node, 2)

static int is_node(PyObject *object)
{
    return PyTuple_CheckExact(object) && PyTuple_GET_SIZE(object) == 3 && PyLong_CheckExact(TS(object));
}

static PyObject *new_node(PyObject *like, PyObject *older)
{
    return PyTuple_Pack(3, TS(like), VALUE(like), older);
}

/* Whether it is what the list is made of; else there is an error. */
static int is_entry(PyObject *object)
{
    if (PyTuple_CheckExact(object) && PyTuple_GET_SIZE(object) == 4 && PyLong_CheckExact(PyTuple_GET_ITEM(object, 0)))
        return 1;
    PyErr_SetString(PyExc_TypeError, "what is superseded is told by four things, the first a commit_ts");
    return 0;
}

/* How many of the versions were superseded by commits up to `ts`; -1 with an error. */
static Py_ssize_t ripe(PyObject *superseded, long long ts)
{
    Py_ssize_t low = 0, high = PyList_GET_SIZE(superseded);
    while (low < high) {
        Py_ssize_t middle = low + (high - low) / 2;
        PyObject *entry = PyList_GET_ITEM(superseded, middle);
        if (!is_entry(entry))
            return -1;
        if (PyLong_AsLongLong(PyTuple_GET_ITEM(entry, 0)) <= ts)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The chain from `node` on, cut below its newest version up to `ts`: made anew. Deep chains are walked, not recursed. */
static PyObject *cut_copy(PyObject *head, long long ts)
{
    PyObject *newer = PyList_New(0), *node = head, *rest = NULL;
    Py_ssize_t i;
    if (newer == NULL)
        return NULL;
    while (is_node(node) && PyLong_AsLongLong(TS(node)) > ts) {
        if (PyList_Append(newer, node) < 0)
            goto done;
        node = OLDER(node);
    }
    if (!is_node(node)) {
        PyErr_SetString(PyExc_AssertionError, "a superseded version has a newer one above it");
        goto done;
    }
    rest = new_node(node, Py_None);
    for (i = PyList_GET_SIZE(newer); rest != NULL && i-- > 0;) {
        PyObject *below = rest;
        rest = new_node(PyList_GET_ITEM(newer, i), below);
        Py_DECREF(below);
    }
done:
    Py_DECREF(newer);
    return rest;
}

/* Cut the chain in place if nobody else holds a node down to there: 1 if that is done, else 0. */
static int cut_in_place(PyObject *head, long long ts)
{
    PyObject *node = head, *older;
    while (is_node(node) && Py_REFCNT(node) == 1 && PyLong_AsLongLong(TS(node)) > ts)
        node = OLDER(node);
    if (!is_node(node) || Py_REFCNT(node) != 1)
        return 0;
    older = OLDER(node);
    Py_INCREF(Py_None);
    PyTuple_SET_ITEM(node, 2, Py_None);
    Py_DECREF(older);
    return 1;
}

/* Whether the key, which has versions that are not seen yet, was met before: its chain is walked once. -1: an error. */
static int is_met(PyObject **met, PyObject *key)
{
    int found;
    if (*met == NULL && (*met = PySet_New(NULL)) == NULL)
        return -1;
    found = PySet_Contains(*met, key);
    return found == 0 && PySet_Add(*met, key) < 0 ? -1 : found;
}

/* Cut the key's chain; 1 if all that is left is a tombstone, -1 with an error. */
static int cut(PyObject *heads, PyObject *key, long long ts, PyObject **met)
{
    PyObject *rest, *head = PyDict_GetItemWithError(heads, key); /* borrowed: the dict's reference is all we know of */
    int is_hidden, failed;
    if (head == NULL || !is_node(head)) {
        if (!PyErr_Occurred())
            PyErr_SetObject(PyExc_KeyError, key);
        return -1;
    }
    if (OLDER(head) == Py_None)
        return 0; /* done, for an earlier version of the key */
    is_hidden = PyLong_AsLongLong(TS(head)) > ts;
    if (is_hidden && (failed = is_met(met, key)) != 0)
        return failed < 0 ? -1 : 0;
    failed = 0;
    if (cut_in_place(head, ts))
        return !is_hidden && VALUE(head) == Py_None;
    rest = cut_copy(head, ts);
    if (rest == NULL)
        return -1;
    failed = PyDict_SetItem(heads, key, rest) < 0;
    is_hidden = is_hidden || VALUE(rest) != Py_None;
    Py_DECREF(rest);
    return failed ? -1 : !is_hidden;
}

/* Cut the chains of so many versions' keys; 0 with an error. */
static int cut_all(PyObject *heads, PyObject *superseded, Py_ssize_t count, long long ts, PyObject *lone)
{
    PyObject *met = NULL;
    Py_ssize_t i;
    int outcome = 0;
    for (i = 0; i < count && outcome >= 0; i++) {
        PyObject *entry = PyList_GET_ITEM(superseded, i);
        outcome = is_entry(entry) ? cut(heads, PyTuple_GET_ITEM(entry, 2), ts, &met) : -1;
        if (outcome == 1)
            outcome = PyList_Append(lone, PyTuple_GET_ITEM(entry, 2));
    }
    Py_XDECREF(met);
    return outcome >= 0;
}

static PyObject *free_superseded(PyObject *module, PyObject *arguments)
{
    PyObject *heads, *superseded, *lone;
    long long ts;
    Py_ssize_t count;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "O!O!L", &PyDict_Type, &heads, &PyList_Type, &superseded, &ts))
        return NULL;
    count = ripe(superseded, ts);
    if (count < 0 || (lone = PyList_New(0)) == NULL)
        return NULL;
    if (!cut_all(heads, superseded, count, ts, lone) || PyList_SetSlice(superseded, 0, count, NULL) < 0) {
        Py_DECREF(lone);
        return NULL;
    }
    return lone;
}

static PyMethodDef methods[] = {
    {"free", free_superseded, METH_VARARGS, "Take what commits up to ts superseded out of the chains; see freeing.py."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_freeing", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__freeing(void)
{
    return PyModule_Create(&definition);
}
