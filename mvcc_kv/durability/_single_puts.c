/* Runs of commits that each put one key, compiled: see single_puts.py, whose `replay_puts` this is to the letter.
 *
 * The checksum is zlib's CRC-32, eight bytes a step ("slicing by 8", Kounavis and Berry, 2005): zlib's own is not at
 * hand in an extension module, and called through Python it would cost more than all the rest. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#define RECORD_HEADER_BYTES 32
#define BESIDE_TEXTS_BYTES 20 /* of the body: the commit's 12, the two lengths */
#define HEAD_BYTES (RECORD_HEADER_BYTES + BESIDE_TEXTS_BYTES)

typedef struct {
    const unsigned char *key, *value;
    uint32_t key_len, value_len, length, crc;
} Put;

static uint32_t tables[8][256];

static void make_tables(void)
{
    int i, k;
    for (i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (k = 0; k < 8; k++)
            crc = crc & 1 ? (crc >> 1) ^ 0xEDB88320u : crc >> 1;
        tables[0][i] = crc;
    }
    for (k = 1; k < 8; k++)
        for (i = 0; i < 256; i++)
            tables[k][i] = (tables[k - 1][i] >> 8) ^ tables[0][tables[k - 1][i] & 0xFF];
}

/* Numbers in files are little-endian, whatever the machine is. */
static uint32_t u32(const unsigned char *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t u64(const unsigned char *p)
{
    return u32(p) | (uint64_t)u32(p + 4) << 32;
}

static uint32_t crc32(uint32_t crc, const unsigned char *p, size_t len)
{
    crc = ~crc;
    for (; len >= 8; p += 8, len -= 8) {
        uint32_t low = crc ^ u32(p), high = u32(p + 4);
        crc = tables[7][low & 0xFF] ^ tables[6][low >> 8 & 0xFF] ^ tables[5][low >> 16 & 0xFF] ^ tables[4][low >> 24] ^
              tables[3][high & 0xFF] ^ tables[2][high >> 8 & 0xFF] ^ tables[1][high >> 16 & 0xFF] ^ tables[0][high >> 24];
    }
    for (; len > 0; p++, len--)
        crc = tables[0][(crc ^ *p) & 0xFF] ^ (crc >> 8);
    return ~crc;
}

/* The put in the whole record at `p` that follows the commit `end_ts`, whose record had `end_crc`; 0 if there is none. */
static int read_put(const unsigned char *p, Py_ssize_t left, uint64_t end_ts, uint32_t end_crc, Put *put)
{
    if (left < HEAD_BYTES || memcmp(p, "\xffRec", 4) || u64(p + 8) != end_ts + 1 || u32(p + 24) != end_crc)
        return 0;
    if (p[32] != 1 || p[33] != 0xFF || p[34] != 0xFF || p[35] != 0) /* its kind; no label, no token */
        return 0;
    put->length = u32(p + 4);
    put->crc = u32(p + 28);
    put->key_len = u32(p + 44);
    put->value_len = u32(p + 48);
    if ((uint64_t)put->key_len + put->value_len + BESIDE_TEXTS_BYTES != put->length)
        return 0; /* a deletion's value has no such length either */
    if ((uint64_t)put->length > (uint64_t)(left - RECORD_HEADER_BYTES))
        return 0;
    put->key = p + HEAD_BYTES;
    put->value = put->key + put->key_len;
    return crc32(crc32(0, p + 4, 24), p + RECORD_HEADER_BYTES, put->length) == put->crc;
}

static int take(PyObject *items, const Put *put)
{
    PyObject *key = PyBytes_FromStringAndSize((const char *)put->key, put->key_len);
    PyObject *value = PyBytes_FromStringAndSize((const char *)put->value, put->value_len);
    int failed = key == NULL || value == NULL || PyDict_SetItem(items, key, value) < 0;
    Py_XDECREF(key);
    Py_XDECREF(value);
    return !failed;
}

static PyObject *replay_puts(PyObject *module, PyObject *arguments)
{
    PyObject *data, *items;
    Py_ssize_t offset, size, left;
    unsigned long long end_ts;
    unsigned long end_crc;
    const unsigned char *begin;
    Put put;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "SnKkO!n", &data, &offset, &end_ts, &end_crc, &PyDict_Type, &items, &left))
        return NULL;
    begin = (const unsigned char *)PyBytes_AS_STRING(data);
    size = PyBytes_GET_SIZE(data);
    if (offset < 0) {
        PyErr_SetString(PyExc_ValueError, "not within the data");
        return NULL;
    }
    for (; left > 0 && offset < size && read_put(begin + offset, size - offset, end_ts, (uint32_t)end_crc, &put); left--) {
        if (!take(items, &put))
            return NULL;
        offset += RECORD_HEADER_BYTES + put.length;
        end_ts++;
        end_crc = put.crc;
    }
    return Py_BuildValue("nKk", offset, end_ts, end_crc);
}

static PyMethodDef methods[] = {
    {"replay_puts", replay_puts, METH_VARARGS, "Put the records at an offset into the items; see single_puts.py."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_single_puts", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__single_puts(void)
{
    make_tables();
    return PyModule_Create(&definition);
}
