/* Scanning, compiled: see scanning.py, whose `scan` this is to the letter. It takes the commands off the beginning that
 * are whole and canonical, and stops before everything else: what is left is for the careful reader. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define MEMBERS_MAX 1024   /* as BY_HEART_MEMBERS */
#define ARGUMENT_MAX 4095  /* as BY_HEART_BYTES */

enum { STOP = 0, DONE = 1, FAILED = -1 };

typedef struct {
    const char *at, *end;
} Text;

/* A number behind its mark, as `*3\r\n`, in its one canonical form. Moves on only if it is there. */
static int read_number(Text *text, char mark, Py_ssize_t max, Py_ssize_t *number)
{
    const char *p = text->at, *first;
    Py_ssize_t n = 0;
    if (p >= text->end || *p != mark)
        return STOP;
    first = ++p;
    while (p < text->end && *p >= '0' && *p <= '9' && n <= max)
        n = n * 10 + (*p++ - '0');
    if (p == first || (*first == '0' && p - first > 1) || n > max)
        return STOP;
    if (text->end - p < 2 || p[0] != '\r' || p[1] != '\n')
        return STOP;
    text->at = p + 2;
    *number = n;
    return DONE;
}

/* Looks before anything is made of it: how many bytes the argument's text has, which is whole; -1 if it isn't. */
static Py_ssize_t find_argument(Text *text)
{
    Py_ssize_t len;
    if (!read_number(text, '$', ARGUMENT_MAX, &len) || text->end - text->at < len + 2)
        return -1;
    return text->at[len] == '\r' && text->at[len + 1] == '\n' ? len : -1;
}

/* So many arguments as a list; NULL without an error if they are not all there. */
static PyObject *read_arguments(Text *text, Py_ssize_t members)
{
    PyObject *arguments = PyList_New(members);
    Py_ssize_t i, len;
    for (i = 0; arguments != NULL && i < members; i++) {
        PyObject *argument = NULL;
        if ((len = find_argument(text)) >= 0)
            argument = PyBytes_FromStringAndSize(text->at, len);
        if (argument == NULL)
            Py_CLEAR(arguments);
        else {
            PyList_SET_ITEM(arguments, i, argument);
            text->at += len + 2;
        }
    }
    return arguments;
}

/* The next command, added to the others. */
static int read_command(Text *text, PyObject *commands)
{
    Py_ssize_t members;
    PyObject *arguments;
    int outcome;
    if (!read_number(text, '*', MEMBERS_MAX, &members) || members == 0)
        return STOP;
    if (text->end - text->at < members * 6) /* too short for so many, and no list is made in vain */
        return STOP;
    arguments = read_arguments(text, members);
    if (arguments == NULL)
        return PyErr_Occurred() ? FAILED : STOP;
    outcome = PyList_Append(commands, arguments) < 0 ? FAILED : DONE;
    Py_DECREF(arguments);
    return outcome;
}

static PyObject *scan(PyObject *module, PyObject *data)
{
    PyObject *commands;
    const char *begun;
    Text text;
    int outcome = DONE;
    (void)module;
    if (!PyBytes_Check(data))
        return PyErr_Format(PyExc_TypeError, "bytes are scanned, not %.100s", Py_TYPE(data)->tp_name);
    commands = PyList_New(0);
    if (commands == NULL)
        return NULL;
    begun = text.at = PyBytes_AS_STRING(data);
    text.end = begun + PyBytes_GET_SIZE(data);
    while (outcome == DONE && text.at < text.end) {
        const char *command = text.at;
        outcome = read_command(&text, commands);
        if (outcome != DONE)
            text.at = command;
    }
    if (outcome == FAILED) {
        Py_DECREF(commands);
        return NULL;
    }
    return Py_BuildValue("Ny#", commands, text.at, (Py_ssize_t)(text.end - text.at));
}

static PyMethodDef methods[] = {
    {"scan", scan, METH_O, "Take the commands off the beginning that are whole and canonical; see scanning.py."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_scanning", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__scanning(void)
{
    return PyModule_Create(&definition);
}
