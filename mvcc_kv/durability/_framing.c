/* Framing, compiled: see framing.py, whose `frame_in_python` this is to the byte, and records.py for the format. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#define RECORD_HEADER_BYTES 32
#define BODY_BYTES_MAX 0xFFFFFFFFLL

typedef struct {
    PyObject *commits;
    const char *head; /* of each body that is a single write */
    Py_ssize_t head_len;
    unsigned long long commit_ts, durable_ts;
    uint32_t crc;
    unsigned char *at;
} Framing;

/* Numbers are little-endian, whatever the machine is. */

static unsigned char *put_u32(unsigned char *at, uint32_t number)
{
    at[0] = number, at[1] = number >> 8, at[2] = number >> 16, at[3] = number >> 24;
    return at + 4;
}

static unsigned char *put_u64(unsigned char *at, uint64_t number)
{
    return put_u32(put_u32(at, (uint32_t)number), (uint32_t)(number >> 32));
}

static unsigned char *put_bytes(unsigned char *at, const char *text, Py_ssize_t len)
{
    memcpy(at, text, len);
    return at + len;
}

/* zlib's CRC-32, eight bytes at a time: tables[n] takes a byte with n more bytes behind it. */

static uint32_t tables[8][256];

static void make_tables(void)
{
    uint32_t n, crc;
    int bit, k;
    for (n = 0; n < 256; n++) {
        for (crc = n, bit = 0; bit < 8; bit++)
            crc = crc & 1 ? 0xEDB88320u ^ crc >> 1 : crc >> 1;
        tables[0][n] = crc;
    }
    for (n = 0; n < 256; n++)
        for (k = 1; k < 8; k++)
            tables[k][n] = tables[k - 1][n] >> 8 ^ tables[0][tables[k - 1][n] & 0xFF];
}

static uint32_t crc32_of(uint32_t crc, const unsigned char *at, Py_ssize_t len)
{
    crc = ~crc;
    for (; len >= 8; at += 8, len -= 8) {
        uint32_t low = crc ^ (at[0] | at[1] << 8 | at[2] << 16 | (uint32_t)at[3] << 24);
        crc = tables[7][low & 0xFF] ^ tables[6][low >> 8 & 0xFF] ^ tables[5][low >> 16 & 0xFF] ^ tables[4][low >> 24] ^
              tables[3][at[4]] ^ tables[2][at[5]] ^ tables[1][at[6]] ^ tables[0][at[7]];
    }
    for (; len > 0; at++, len--)
        crc = crc >> 8 ^ tables[0][(crc ^ *at) & 0xFF];
    return ~crc;
}

/* Records */

/* How many bytes the commit's body has; -1 with an error if it is none. */
static Py_ssize_t body_bytes(Framing *framing, PyObject *commit)
{
    Py_ssize_t len;
    if (PyBytes_CheckExact(commit))
        len = PyBytes_GET_SIZE(commit);
    else if (PyTuple_CheckExact(commit) && PyTuple_GET_SIZE(commit) == 2 && PyBytes_CheckExact(PyTuple_GET_ITEM(commit, 0)) &&
             PyBytes_CheckExact(PyTuple_GET_ITEM(commit, 1)))
        len = framing->head_len + 8 + PyBytes_GET_SIZE(PyTuple_GET_ITEM(commit, 0)) +
              PyBytes_GET_SIZE(PyTuple_GET_ITEM(commit, 1));
    else {
        PyErr_SetString(PyExc_TypeError, "a commit to frame is a body, or a key and a value");
        return -1;
    }
    if (len > BODY_BYTES_MAX) {
        PyErr_SetString(PyExc_OverflowError, "a record's body is too long");
        return -1;
    }
    return len;
}

static void put_body(Framing *framing, PyObject *commit)
{
    PyObject *key, *value;
    if (PyBytes_CheckExact(commit)) {
        framing->at = put_bytes(framing->at, PyBytes_AS_STRING(commit), PyBytes_GET_SIZE(commit));
        return;
    }
    key = PyTuple_GET_ITEM(commit, 0);
    value = PyTuple_GET_ITEM(commit, 1);
    framing->at = put_bytes(framing->at, framing->head, framing->head_len);
    framing->at = put_u32(framing->at, (uint32_t)PyBytes_GET_SIZE(key));
    framing->at = put_u32(framing->at, (uint32_t)PyBytes_GET_SIZE(value));
    framing->at = put_bytes(framing->at, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key));
    framing->at = put_bytes(framing->at, PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value));
}

static void put_record(Framing *framing, PyObject *commit)
{
    unsigned char *record = framing->at, *body = record + RECORD_HEADER_BYTES;
    framing->at = body;
    put_body(framing, commit);
    put_bytes(record, "\xffRec", 4);
    put_u32(record + 4, (uint32_t)(framing->at - body));
    put_u64(record + 8, framing->commit_ts++);
    put_u64(record + 16, framing->durable_ts);
    put_u32(record + 24, framing->crc);
    framing->crc = crc32_of(crc32_of(0, record + 4, 24), body, framing->at - body);
    put_u32(record + 28, framing->crc);
}

/* How many bytes all records have; -1 with an error. Nothing here runs Python, so what was looked at stays as it is. */
static Py_ssize_t records_bytes(Framing *framing)
{
    Py_ssize_t i, total = 0;
    for (i = 0; i < PyList_GET_SIZE(framing->commits); i++) {
        Py_ssize_t len = body_bytes(framing, PyList_GET_ITEM(framing->commits, i));
        if (len < 0)
            return -1;
        if (len > PY_SSIZE_T_MAX - total - RECORD_HEADER_BYTES) {
            PyErr_NoMemory();
            return -1;
        }
        total += RECORD_HEADER_BYTES + len;
    }
    return total;
}

static PyObject *frame(PyObject *module, PyObject *arguments)
{
    Framing framing;
    PyObject *data;
    Py_ssize_t i, total;
    unsigned long chain;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "O!y#KKk", &PyList_Type, &framing.commits, &framing.head, &framing.head_len,
                          &framing.commit_ts, &framing.durable_ts, &chain))
        return NULL;
    framing.crc = (uint32_t)chain;
    total = records_bytes(&framing);
    if (total < 0 || (data = PyBytes_FromStringAndSize(NULL, total)) == NULL)
        return NULL;
    framing.at = (unsigned char *)PyBytes_AS_STRING(data);
    for (i = 0; i < PyList_GET_SIZE(framing.commits); i++)
        put_record(&framing, PyList_GET_ITEM(framing.commits, i));
    return Py_BuildValue("Nk", data, (unsigned long)framing.crc);
}

static PyMethodDef methods[] = {
    {"frame", frame, METH_VARARGS, "The records of these commits, and the last one's crc; see framing.py."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_framing", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__framing(void)
{
    make_tables();
    return PyModule_Create(&definition);
}
