/* Many sockets in one go, compiled: see wire.py, whose functions these are. The sockets don't block, so the interpreter's
 * lock is kept: to give it away and take it back would cost as much as the system call. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <errno.h>
#include <sys/socket.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* Python ignores SIGPIPE */
#endif

static int descriptor(PyObject *sockets, Py_ssize_t at)
{
    return PyObject_AsFileDescriptor(PyList_GET_ITEM(sockets, at));
}

static PyObject *receive_one(int fd, char *buffer, Py_ssize_t size)
{
    ssize_t count;
    do
        count = recv(fd, buffer, size, 0);
    while (count < 0 && errno == EINTR);
    return count < 0 ? PyLong_FromLong(errno) : PyBytes_FromStringAndSize(buffer, count);
}

/* An item for each socket; NULL with an error. */
static PyObject *receive_each(PyObject *sockets, char *buffer, Py_ssize_t size)
{
    Py_ssize_t i, count = PyList_GET_SIZE(sockets);
    PyObject *received = PyList_New(count);
    for (i = 0; received != NULL && i < count; i++) {
        int fd = descriptor(sockets, i);
        PyObject *item = fd < 0 ? NULL : receive_one(fd, buffer, size);
        if (item == NULL)
            Py_CLEAR(received);
        else
            PyList_SET_ITEM(received, i, item);
    }
    return received;
}

static PyObject *receive(PyObject *module, PyObject *arguments)
{
    PyObject *sockets, *received;
    Py_ssize_t size;
    char *buffer;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "O!n", &PyList_Type, &sockets, &size))
        return NULL;
    buffer = PyMem_Malloc(size);
    if (buffer == NULL)
        return PyErr_NoMemory();
    received = receive_each(sockets, buffer, size);
    PyMem_Free(buffer);
    return received;
}

/* How many bytes it took, or the negative errno. */
static Py_ssize_t send_one(int fd, PyObject *data)
{
    ssize_t count;
    do
        count = send(fd, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), MSG_NOSIGNAL);
    while (count < 0 && errno == EINTR);
    return count < 0 ? -(Py_ssize_t)errno : (Py_ssize_t)count;
}

static int note(PyObject *rest, Py_ssize_t at, Py_ssize_t count)
{
    PyObject *entry = Py_BuildValue("nn", at, count);
    int failed = entry == NULL || PyList_Append(rest, entry);
    Py_XDECREF(entry);
    return failed ? -1 : 0;
}

/* Sends to one, and notes it if that is not all; -1 with an error. */
static int send_to(PyObject *sockets, PyObject *data, Py_ssize_t at, PyObject *rest)
{
    PyObject *said = PyList_GET_ITEM(data, at);
    int fd = descriptor(sockets, at);
    Py_ssize_t count;
    if (fd < 0)
        return -1;
    if (!PyBytes_Check(said)) {
        PyErr_SetString(PyExc_TypeError, "only bytes are sent");
        return -1;
    }
    count = send_one(fd, said);
    return count == PyBytes_GET_SIZE(said) ? 0 : note(rest, at, count);
}

static PyObject *send_all(PyObject *module, PyObject *arguments)
{
    PyObject *sockets, *data, *rest;
    Py_ssize_t i;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "O!O!", &PyList_Type, &sockets, &PyList_Type, &data))
        return NULL;
    if (PyList_GET_SIZE(sockets) != PyList_GET_SIZE(data)) {
        PyErr_SetString(PyExc_ValueError, "there is to be something for each socket");
        return NULL;
    }
    rest = PyList_New(0);
    for (i = 0; rest != NULL && i < PyList_GET_SIZE(sockets); i++)
        if (send_to(sockets, data, i, rest))
            Py_CLEAR(rest);
    return rest;
}

static PyMethodDef methods[] = {
    {"receive", receive, METH_VARARGS, "What each socket has; see wire.py."},
    {"send", send_all, METH_VARARGS, "Send to each socket; see wire.py."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_wire", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__wire(void)
{
    return PyModule_Create(&definition);
}
