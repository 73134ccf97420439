/* The quick lane, compiled: see quick.py, whose `run_in_python` this is to the letter. It knows PING, GET, SET, INCR,
 * WATCH, MULTI, SET ..., EXEC, and START, GET, SET ..., COMMIT in the one form in which clients write them, and stops
 * before everything else: what isn't whole, isn't canonical, expires, wants escapes, overflows. Rule: a command is
 * executed altogether or not touched; when this stops, Python goes on there. */

#include "quick_ours.h"

/* Commands */

static int get(Lane *lane, Slice name)
{
    PyObject *key = PyBytes_FromStringAndSize(name.text, name.len), *head, *value;
    Slice raw;
    if (key == NULL)
        return FAILED;
    head = PyDict_GetItemWithError(lane->heads, key);
    Py_DECREF(key);
    if (head == NULL && PyErr_Occurred())
        return FAILED;
    if (value_at(head, lane->read_ts, &value) == STOP)
        return STOP;
    if (value == NULL) {
        lane->gets++;
        return say_null(lane);
    }
    if (!raw_text(value, &raw))
        return STOP;
    lane->gets++;
    lane->hits++;
    return say_bulk(lane, raw.text, raw.len);
}

static int set(Lane *lane, Slice name, Slice raw)
{
    PyObject *key = NULL, *head, *value;
    int outcome = find_for_writing(lane, name, &key, &head);
    if (outcome == DONE) {
        value = json_string(raw);
        outcome = value != NULL ? commit(lane, key, value, head) : PyErr_Occurred() ? FAILED : STOP;
        Py_XDECREF(value);
    }
    Py_XDECREF(key);
    if (outcome != DONE)
        return outcome;
    lane->sets++;
    return say(lane, "+OK\r\n", 5);
}

static int incr(Lane *lane, Slice name)
{
    PyObject *key = NULL, *head, *value;
    long long number = 0;
    char text[32];
    Slice raw;
    Py_ssize_t len;
    int outcome = find_for_writing(lane, name, &key, &head);
    if (outcome == DONE && head != NULL && !(raw_text(PyTuple_GET_ITEM(head, 1), &raw) && integer_of(raw, &number)))
        outcome = STOP;
    text[0] = ':';
    len = write_number(text + 1, number + 1);
    if (outcome == DONE) {
        value = PyBytes_FromStringAndSize(text + 1, len);
        outcome = value == NULL ? FAILED : commit(lane, key, value, head);
        Py_XDECREF(value);
    }
    Py_XDECREF(key);
    if (outcome != DONE)
        return outcome;
    lane->incrs++;
    memcpy(text + 1 + len, "\r\n", 2);
    return say(lane, text, len + 3);
}

/* Any command */

/* While a transaction is open. */
static int execute_within(Lane *lane, Slice *arguments, Py_ssize_t count)
{
    if (count == 2 && is_word(arguments[0], "GET"))
        return get_within(lane, arguments[1]);
    if (count == 3 && is_word(arguments[0], "SET"))
        return set_within(lane, arguments[1], arguments[2]);
    if (count == 1 && is_word(arguments[0], "COMMIT"))
        return end(lane);
    return STOP;
}

static int execute(Lane *lane)
{
    Py_ssize_t count, i;
    Slice arguments[ARGUMENTS_MAX];
    if (!read_count(lane, '*', &count) || count < 1 || count > ARGUMENTS_MAX)
        return STOP;
    for (i = 0; i < count; i++)
        if (!read_argument(lane, &arguments[i]))
            return STOP;
    if (lane->transaction != NULL)
        return execute_within(lane, arguments, count);
    if (count == 2 && is_word(arguments[0], "GET"))
        return get(lane, arguments[1]);
    if (count == 3 && is_word(arguments[0], "SET"))
        return set(lane, arguments[1], arguments[2]);
    if (count == 2 && is_word(arguments[0], "INCR"))
        return incr(lane, arguments[1]);
    if (count == 1 && is_word(arguments[0], "MULTI"))
        return multi(lane);
    if (count >= 2 && is_word(arguments[0], "WATCH"))
        return watch(lane, arguments + 1, count - 1);
    if (count == 1 && is_word(arguments[0], "START"))
        return start(lane);
    if (count == 1 && is_word(arguments[0], "PING")) {
        lane->pings++;
        return say(lane, "+PONG\r\n", 7);
    }
    return STOP;
}

/* Bursts */

static void run_burst(Lane *lane, const char *begun, Py_ssize_t len)
{
    int outcome = DONE;
    lane->at = begun;
    lane->end = begun + len;
    lane->out_len = 0;
    lane->free_bytes = -1;
    while (outcome == DONE && lane->at < lane->end && lane->out_len < lane->out_max) {
        const char *command = lane->at;
        /* Room for the reply to a write comes first: what was done can be told. */
        outcome = reserve(lane, 64) ? execute(lane) : FAILED;
        if (outcome != DONE)
            lane->at = command;
    }
    PyErr_Clear(); /* no memory: what was done stands, and Python finds out at the next command */
}

/* The transaction that the burst's client is in, if the lane may go on in it. */
static int find_transaction(Lane *lane)
{
    PyObject *found;
    if (lane->client == Py_None)
        return DONE;
    found = PyObject_GetAttr(lane->client, word_transaction);
    if (found == NULL)
        return FAILED;
    if (found == Py_None)
        Py_CLEAR(found);
    lane->transaction = found;
    return DONE;
}

/* Run one burst, and say of it what quick.py says; `seen_ts` is the newest commit that everybody sees. */
static int take_burst(Lane *lane, PyObject *burst, Py_ssize_t number, long long seen_ts, PyObject *replies, PyObject *rest)
{
    PyObject *data, *watched;
    Py_ssize_t len;
    int is_over, is_free;
    if (!PyArg_ParseTuple(burst, "SiOO", &data, &lane->proto, &watched, &lane->client))
        return FAILED;
    if (find_transaction(lane) == FAILED)
        return FAILED;
    lane->watched = PyDict_CheckExact(watched) ? watched : NULL;
    len = PyBytes_GET_SIZE(data);
    lane->read_ts = lane->may_write && lane->writes == NULL ? lane->commit_ts : seen_ts;
    run_burst(lane, PyBytes_AS_STRING(data), len);
    Py_CLEAR(lane->transaction);
    is_over = lane->at == lane->end;
    is_free = lane->free_bytes < 0 || lane->writes == NULL;
    if (append(replies, PyBytes_FromStringAndSize(lane->out, lane->out_len)) == FAILED)
        return FAILED;
    if (is_over && is_free)
        return DONE;
    return append(rest, Py_BuildValue("nnnL", number, (Py_ssize_t)(len - (lane->end - lane->at)),
                                      is_free ? lane->out_len : lane->free_bytes, is_free ? 0LL : lane->commit_ts));
}

static PyObject *run_bursts(Lane *lane, PyObject *bursts, long long seen_ts)
{
    PyObject *replies = PyList_New(0), *rest = PyList_New(0), *result = NULL;
    Py_ssize_t i;
    int outcome = replies != NULL && rest != NULL ? DONE : FAILED;
    for (i = 0; outcome == DONE && i < PyList_GET_SIZE(bursts); i++)
        outcome = take_burst(lane, PyList_GET_ITEM(bursts, i), i, seen_ts, replies, rest);
    if (outcome == DONE)
        result = Py_BuildValue("OOLnnnnnnnnnnnO", replies, rest, lane->commit_ts, lane->gets, lane->sets, lane->incrs,
                               lane->pings, lane->hits, lane->new_keys, lane->watches, lane->execs_total, lane->starts,
                               lane->commits, lane->own_gets, lane->execs);
    Py_XDECREF(replies);
    Py_XDECREF(rest);
    return result;
}

static PyObject *run(PyObject *module, PyObject *arguments)
{
    Lane lane = {0};
    PyObject *bursts, *result;
    long long seen_ts, begun_ts;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "O!nO!LLO", &PyList_Type, &bursts, &lane.out_max, &PyDict_Type, &lane.heads,
                          &seen_ts, &lane.commit_ts, &lane.permits))
        return NULL;
    lane.out_size = 4096;
    lane.out = PyMem_Malloc(lane.out_size);
    lane.execs = lane.out == NULL ? NULL : PyList_New(0);
    if (lane.execs == NULL) {
        PyMem_Free(lane.out);
        return PyErr_NoMemory();
    }
    begun_ts = lane.commit_ts;
    result = run_bursts(&lane, bursts, seen_ts);
    if (result == NULL && lane.commit_ts != begun_ts) /* a store that doesn't know of its commits must not go on */
        Py_FatalError("no memory to tell what was committed");
    PyMem_Free(lane.out);
    Py_DECREF(lane.execs);
    return result;
}

static PyMethodDef methods[] = {
    {"run", run, METH_VARARGS, "Execute what stands at the beginning of each burst; see quick.py."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_quick", NULL, 0, methods, NULL, NULL, NULL, NULL};

static int learn(PyObject **word, const char *text)
{
    return *word != NULL || (*word = PyUnicode_InternFromString(text)) != NULL;
}

PyMODINIT_FUNC PyInit__quick(void)
{
    if (!learn(&word_beside, "beside") || !learn(&word_begin, "begin") || !learn(&word_end, "end"))
        return NULL;
    if (!learn(&word_get, "get") || !learn(&word_put, "put") || !learn(&word_transaction, "transaction"))
        return NULL;
    if (!learn(&word_writes, "writes") || !learn(&word_start_ts, "start_ts"))
        return NULL;
    return PyModule_Create(&definition);
}
