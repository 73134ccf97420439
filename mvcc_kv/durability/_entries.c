/* A checkpoint's plain entries, cut and joined in one go: see entries.py, whose `cut_plain_in_python` says what is plain.
 * This one stops at the very entry that is not, and Python goes on there. What can't be joined by copying is left to
 * Python altogether. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>

typedef struct {
    const char *key, *value, *next;
    Py_ssize_t key_len, value_len;
} Entry;

/* `\n"key": value,` at `at`, with nothing escaped in the key; 0 if that isn't there. */
static int read_entry(const char *at, const char *end, Entry *entry)
{
    const char *p = at + 2;
    if (end - at < 7 || at[0] != '\n' || at[1] != '"')
        return 0;
    entry->key = p;
    while (p < end && *p != '"' && *p != '\\' && *p != '\n')
        p++;
    entry->key_len = p - entry->key;
    if (end - p < 5 || p[0] != '"' || p[1] != ':' || p[2] != ' ')
        return 0;
    entry->value = p + 3;
    p = memchr(entry->value, '\n', end - entry->value);
    entry->next = p == NULL ? end : p;
    entry->value_len = entry->next - entry->value - 1;
    return entry->value_len > 0 && entry->next[-1] == ',';
}

static int take(PyObject *items, const Entry *entry)
{
    PyObject *key = PyBytes_FromStringAndSize(entry->key, entry->key_len);
    PyObject *value = PyBytes_FromStringAndSize(entry->value, entry->value_len);
    int failed = key == NULL || value == NULL || PyDict_SetItem(items, key, value) < 0;
    Py_XDECREF(key);
    Py_XDECREF(value);
    return !failed;
}

static PyObject *cut_plain(PyObject *module, PyObject *arguments)
{
    PyObject *text, *items;
    Py_ssize_t at, end;
    const char *begin;
    Entry entry;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "SnnO!", &text, &at, &end, &PyDict_Type, &items))
        return NULL;
    if (at < 0 || end > PyBytes_GET_SIZE(text)) {
        PyErr_SetString(PyExc_ValueError, "not within the text");
        return NULL;
    }
    begin = PyBytes_AS_STRING(text);
    while (at < end && read_entry(begin + at, begin + end, &entry)) {
        if (!take(items, &entry))
            return NULL;
        at = entry.next - begin;
    }
    return PyLong_FromSsize_t(at);
}

/* Whether it is its own text between quotes: printable ASCII, and nothing to escape. */
static int is_plain(PyObject *key)
{
    const char *p = PyBytes_AS_STRING(key), *end = p + PyBytes_GET_SIZE(key);
    for (; p < end; p++)
        if (*p < ' ' || *p > '~' || *p == '"' || *p == '\\')
            return 0;
    return 1;
}

/* How long the entry will be; 0 if it isn't plain. */
static Py_ssize_t joined_len(PyObject *item)
{
    PyObject *key, *value;
    if (!PyTuple_Check(item) || PyTuple_GET_SIZE(item) != 2)
        return 0;
    key = PyTuple_GET_ITEM(item, 0);
    value = PyTuple_GET_ITEM(item, 1);
    if (!PyBytes_Check(key) || !PyBytes_Check(value) || !is_plain(key))
        return 0;
    if (memchr(PyBytes_AS_STRING(value), '\n', PyBytes_GET_SIZE(value)) != NULL)
        return 0;
    return PyBytes_GET_SIZE(key) + PyBytes_GET_SIZE(value) + 4; /* two quotes, a colon, a space */
}

static char *put(char *to, const char *text, Py_ssize_t len)
{
    memcpy(to, text, len);
    return to + len;
}

static PyObject *join_plain(PyObject *module, PyObject *items)
{
    Py_ssize_t i, count, len, total = 0;
    PyObject *joined;
    char *to;
    (void)module;
    if (!PyList_Check(items)) {
        PyErr_SetString(PyExc_TypeError, "items are a list");
        return NULL;
    }
    count = PyList_GET_SIZE(items);
    for (i = 0; i < count; i++) {
        len = joined_len(PyList_GET_ITEM(items, i));
        if (len == 0)
            Py_RETURN_NONE;
        total += len + (i > 0 ? 2 : 0);
    }
    joined = PyBytes_FromStringAndSize(NULL, total);
    if (joined == NULL)
        return NULL;
    to = PyBytes_AS_STRING(joined);
    for (i = 0; i < count; i++) {
        PyObject *item = PyList_GET_ITEM(items, i), *key = PyTuple_GET_ITEM(item, 0), *value = PyTuple_GET_ITEM(item, 1);
        to = i > 0 ? put(to, ",\n\"", 3) : put(to, "\"", 1);
        to = put(to, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key));
        to = put(to, "\": ", 3);
        to = put(to, PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value));
    }
    return joined;
}

static PyMethodDef methods[] = {
    {"join_plain", join_plain, METH_O, "The items as entries; None if there is more to do than copying."},
    {"cut_plain", cut_plain, METH_VARARGS, "Take the plain entries between two places of a text; see entries.py."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_entries", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__entries(void)
{
    return PyModule_Create(&definition);
}
