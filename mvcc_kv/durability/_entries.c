/* A checkpoint's plain entries, cut in one go: see entries.py, whose `cut_plain_in_python` says what is plain. This one
 * stops at the very entry that is not, and Python goes on there. */

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

static PyMethodDef methods[] = {
    {"cut_plain", cut_plain, METH_VARARGS, "Take the plain entries between two places of a text; see entries.py."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_entries", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__entries(void)
{
    return PyModule_Create(&definition);
}
