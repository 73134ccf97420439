/* Many sockets in one go, compiled: see wire.py, whose functions these are. The sockets don't block, so the interpreter's
 * lock is kept: to give it away and take it back would cost as much as the system call. Only `hear` waits, without it. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <errno.h>
#include <sys/socket.h>
#ifdef __linux__
#include <sched.h>
#include <sys/epoll.h>
#include <time.h>
#define HAS_EPOLL
#endif

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* Python ignores SIGPIPE */
#endif

#define CLOSED (-1)
#define FAILED (-2)

/* A closed socket's is CLOSED: using that is EBADF, as everywhere. FAILED with an error. */
static int descriptor(PyObject *sockets, Py_ssize_t at)
{
    int fd = PyObject_AsFileDescriptor(PyList_GET_ITEM(sockets, at));
    if (fd >= 0)
        return fd;
    if (!PyErr_ExceptionMatches(PyExc_ValueError))
        return FAILED;
    PyErr_Clear();
    return CLOSED;
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
        PyObject *item = fd == FAILED ? NULL : receive_one(fd, buffer, size);
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
    if (fd == FAILED)
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

#ifdef HAS_EPOLL
#define HEARD_MAX 1024
#define WAIT_S_MAX 3600

typedef struct {
    PyObject *plain, *said, *ended, *events; /* lists; see `Heard` */
} Heard;

/* How long to wait, in ms: -1 for None. Never shorter than asked for, or the caller would turn for nothing. Of this,
   `poll_s` at most is spent awake, and `timeout_ms` is the rest. */
static int timeout_of(PyObject *seconds, double *poll_s, int *timeout_ms)
{
    double s;
    *timeout_ms = -1;
    if (seconds == Py_None)
        return 1;
    s = PyFloat_AsDouble(seconds);
    if (s == -1.0 && PyErr_Occurred())
        return 0;
    if (*poll_s > s)
        *poll_s = s;
    if (*poll_s > 0)
        s -= *poll_s;
    if (!(s > 0))
        *timeout_ms = 0;
    else if (s < WAIT_S_MAX)
        *timeout_ms = (int)(s * 1e3) + 1;
    else
        *timeout_ms = WAIT_S_MAX * 1000;
    return 1;
}

/* Append both, or neither need be right: the caller gives everything up. The items are the lists' own from now on. */
static int append_pair(PyObject *list, PyObject *item, PyObject *other_list, PyObject *other)
{
    int failed = item == NULL || other == NULL || PyList_Append(list, item) || PyList_Append(other_list, other);
    Py_XDECREF(item);
    Py_XDECREF(other);
    return failed ? -1 : 0;
}

static int append_one(PyObject *list, PyObject *item)
{
    int failed = item == NULL || PyList_Append(list, item);
    Py_XDECREF(item);
    return failed ? -1 : 0;
}

/* Receive from a plain peer. */
static int hear_peer(Heard *heard, PyObject *peer, int fd, char *buffer, Py_ssize_t size)
{
    PyObject *data = receive_one(fd, buffer, size);
    int has_ended;
    if (data == NULL)
        return -1;
    has_ended = !PyBytes_Check(data) || PyBytes_GET_SIZE(data) == 0;
    if (has_ended)
        return append_one(heard->ended, Py_BuildValue("ON", peer, data));
    Py_INCREF(peer);
    return append_pair(heard->plain, peer, heard->said, data);
}

/* As selectors tell it: 1 to read, 2 to write; what is amiss is both. */
static int mask_of(unsigned int events)
{
    return (events & ~(unsigned int)EPOLLOUT ? 1 : 0) | (events & ~(unsigned int)EPOLLIN ? 2 : 0);
}

static int hear_event(Heard *heard, PyObject *plain, struct epoll_event *event, char *buffer, Py_ssize_t size)
{
    int fd = event->data.fd;
    PyObject *number = PyLong_FromLong(fd), *peer;
    if (number == NULL)
        return -1;
    peer = PyDict_GetItemWithError(plain, number);
    Py_DECREF(number);
    if (peer != NULL)
        return hear_peer(heard, peer, fd, buffer, size);
    return PyErr_Occurred() ? -1 : append_one(heard->events, Py_BuildValue("ii", fd, mask_of(event->events)));
}

static PyObject *hear_all(PyObject *plain, struct epoll_event *events, int count, char *buffer, Py_ssize_t size)
{
    Heard heard = {PyList_New(0), PyList_New(0), PyList_New(0), PyList_New(0)};
    int i, failed = heard.plain == NULL || heard.said == NULL || heard.ended == NULL || heard.events == NULL;
    for (i = 0; !failed && i < count; i++)
        failed = hear_event(&heard, plain, &events[i], buffer, size);
    if (!failed)
        return Py_BuildValue("NNNN", heard.plain, heard.said, heard.ended, heard.events);
    Py_XDECREF(heard.plain);
    Py_XDECREF(heard.said);
    Py_XDECREF(heard.ended);
    Py_XDECREF(heard.events);
    return NULL;
}

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* As epoll_wait, but without sleeping: look, let others have the core, look again, for so long. */
static int poll_for(int epoll, struct epoll_event *events, int events_max, double poll_s)
{
    double until = seconds_now() + poll_s;
    int count;
    while ((count = epoll_wait(epoll, events, events_max, 0)) == 0 && seconds_now() < until)
        sched_yield();
    return count;
}

/* How many events there are; none if a signal came first. -1 with an error. `timeout_ms`: behind the polling. */
static int wait_for(int epoll, struct epoll_event *events, int events_max, int timeout_ms, double poll_s)
{
    int count = 0;
    Py_BEGIN_ALLOW_THREADS
    if (poll_s > 0)
        count = poll_for(epoll, events, events_max, poll_s);
    if (count == 0)
        count = epoll_wait(epoll, events, events_max, timeout_ms);
    Py_END_ALLOW_THREADS
    if (count >= 0)
        return count;
    if (errno == EINTR)
        return PyErr_CheckSignals() ? -1 : 0;
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}

static PyObject *hear(PyObject *module, PyObject *arguments)
{
    struct epoll_event events[HEARD_MAX];
    PyObject *plain, *seconds, *heard;
    Py_ssize_t size;
    int epoll, events_max, timeout_ms, count;
    double poll_s;
    char *buffer;
    (void)module;
    if (!PyArg_ParseTuple(
            arguments, "iniO!Od", &epoll, &size, &events_max, &PyDict_Type, &plain, &seconds, &poll_s))
        return NULL;
    if (!timeout_of(seconds, &poll_s, &timeout_ms))
        return NULL;
    count = wait_for(epoll, events, events_max < HEARD_MAX ? events_max : HEARD_MAX, timeout_ms, poll_s);
    if (count < 0)
        return NULL;
    buffer = PyMem_Malloc(size);
    if (buffer == NULL)
        return PyErr_NoMemory();
    heard = hear_all(plain, events, count, buffer, size);
    PyMem_Free(buffer);
    return heard;
}
#endif

static PyMethodDef methods[] = {
#ifdef HAS_EPOLL
    {"hear", hear, METH_VARARGS, "Wait, and receive from who is plain; see wire.py."},
#endif
    {"receive", receive, METH_VARARGS, "What each socket has; see wire.py."},
    {"send", send_all, METH_VARARGS, "Send to each socket; see wire.py."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_wire", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__wire(void)
{
    return PyModule_Create(&definition);
}
