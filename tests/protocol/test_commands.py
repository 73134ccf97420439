"""The grammar: what every form of every verb means, and that nothing else means anything."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mvcc_kv.api import KeyRange, TransactionOptions
from mvcc_kv.errors import BadRequestError, UnknownCommandError
from mvcc_kv.protocol import commands
from mvcc_kv.protocol.commands import SCAN_ITEMS_MAX, Get, Put
from mvcc_kv.protocol.grammar import parse, verb_of
from mvcc_kv.protocol.usage import USAGE

JSON_TEXTS = [
    "null",
    "true",
    "false",
    "0",
    "-0",
    "1.0",
    "1.50",
    "1E5",
    "-1e-7",
    "123456789012345678901234567890",
    "1e999",
    '""',
    '"a b"',
    '"\\u00e9\\n\\"\\\\\\/"',
    '"é \U0001f40d"',
    '"\u007f\u2028"',
    "[]",
    "[1,2 ,  3]",
    "{}",
    '{"b": 1, "a":{"b":[]}}',
    '{"a": 1, "a": 2}',
]
NO_JSON_TEXTS = [
    "",
    "01",
    "1.",
    ".5",
    "+1",
    "--1",
    "-",
    "1e",
    "0x10",
    "1_0",
    "NaN",
    "Infinity",
    "-Infinity",
    "nul",
    "truee",
    "'a'",
    '"a',
    '"\\x"',
    '"\\u12"',
    '"a\tb"',
    '"a\x00b"',
    '"a\rb"',
    "[1,]",
    "[,1]",
    "[1 2]",
    "[1}",
    '{"a"}',
    '{"a":1,}',
    "{1:2}",
    "1 2",
    "1, 2",
    "/**/1",
]


@pytest.mark.parametrize("text", JSON_TEXTS)
def test_a_value_of_any_kind_is_kept_to_the_letter(text: str) -> None:
    assert parse(f'PUT {{"key": "k", "value": {text}}}'.encode()) == Put(b"k", text.encode())
    assert parse(f'put  {{ "value" :{text} , "key" : "k" }}  '.encode()) == Put(b"k", text.encode())


@pytest.mark.parametrize("text", NO_JSON_TEXTS)
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(BadRequestError, match="Usage: PUT"):
        parse(f'PUT {{"key": "k", "value": {text}}}'.encode())


@given(st.text(alphabet='"\\{}[]:,01.eE+-ntrufalse \t\r\x00\x1fé', max_size=16))
def test_a_value_is_taken_only_if_any_reader_of_json_takes_it(text: str) -> None:
    try:
        command = parse(f'PUT {{"key": "k", "value": {text}}}'.encode())
    except BadRequestError:
        return
    assert isinstance(command, Put)
    assert b"\r" not in command.value and b"\n" not in command.value
    json.loads(command.value, parse_constant=pytest.fail)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(st.text(), json_values, st.booleans())
def test_every_key_and_value_fits_the_json_form(key: str, value: Any, ensure_ascii: bool) -> None:
    text = json.dumps(value, ensure_ascii=ensure_ascii)
    line = f'PUT {{"key": {json.dumps(key, ensure_ascii=ensure_ascii)}, "value": {text}}}'
    try:
        encoded = key.encode(), line.encode()
    except UnicodeEncodeError:
        return
    assert parse(encoded[1]) == Put(encoded[0], text.encode())


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (b"PUT key1 value1", Put(b"key1", b'"value1"')),
        (b"PUT k a b  c ", Put(b"k", b'"a b  c "')),
        (b"PUT k  x", Put(b"k", b'" x"')),
        (b"PUT k ", Put(b"k", b'""')),
        (b"  put   k x", Put(b"k", b'"x"')),
        (b"PUT\tk x\ty", Put(b"k", b'"x\\ty"')),
        (b'PUT k say "hi" \\', Put(b"k", b'"say \\"hi\\" \\\\"')),
        (b'PUT k {"a": 1}', Put(b"k", b'"{\\"a\\": 1}"')),
        (b"PUT k 1", Put(b"k", b'"1"')),
        (b"PUT k \x00\x1f", Put(b"k", b'"\\u0000\\u001f"')),
        ("PUT clé été 🐍".encode(), Put("clé".encode(), '"été 🐍"'.encode())),
        (b'PUT "k" x', Put(b'"k"', b'"x"')),
        (b"PUT [k] x", Put(b"[k]", b'"x"')),
    ],
)
def test_put_takes_the_rest_of_the_line_as_a_string(line: bytes, command: Put) -> None:
    assert parse(line) == command


@pytest.mark.parametrize("verb", [b"GET", b"get", b"Get", b" \tgEt"])
@pytest.mark.parametrize(
    ("argument", "key"),
    [
        (b"key1", b"key1"),
        (b"  key1  ", b"key1"),
        (b'{"key": "key1"}', b"key1"),
        (b'  {"key": "a b"}  ', b"a b"),
        (b'{"key": ""}', b""),
        (b'{"key": "\\u00e9\\ud83d\\udc0d\\u0000"}', "é🐍\x00".encode()),
        (b'{"k\\u0065y": "a"}', b"a"),
        (b'{"key": "first", "key": "last"}', b"last"),
        ("{é}".encode()[1:], "é}".encode()),
        (b'"key1"', b'"key1"'),
    ],
)
def test_one_key_is_taken_in_either_form(verb: bytes, argument: bytes, key: bytes) -> None:
    assert parse(verb + b" " + argument) == Get(key)
    assert parse(b"del " + argument) == commands.Delete(key)


@pytest.mark.parametrize("verb", ["GET", "DEL"])
@pytest.mark.parametrize(
    "argument",
    [
        "",
        "  ",
        "a b",
        "a\tb",
        "{}",
        "{",
        '{"key": 1}',
        '{"key": null}',
        '{"key": "a"} x',
        '{"Key": "a"}',
        '{"key": "a", "value": 1}',
        '{"key": "\\ud800"}',
        '{"key": "a\tb"}',
        '{"key": {"key": "a"}}',
        "{'key': 'a'}",
    ],
)
def test_a_key_in_no_form_is_refused_with_the_usage(verb: str, argument: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        parse(f"{verb} {argument}".encode())
    assert caught.value.message.startswith(f"{verb}: ")
    assert caught.value.message.endswith(USAGE[verb])


@pytest.mark.parametrize(
    "argument",
    [
        "",
        " ",
        "k",
        "a\tb c",
        "{",
        "{}",
        '{"key": "k"}',
        '{"value": 1}',
        '{"key": 1, "value": 1}',
        '{"key": "k", "value": 1, "ttl": 5}',
        '{"key": "k", "value": 1} {}',
        '{"key": "k", "value": 1}}',
    ],
)
def test_a_put_in_no_form_is_refused(argument: str) -> None:
    with pytest.raises(BadRequestError, match="Usage: PUT"):
        parse(f"PUT {argument}".encode())


@pytest.mark.parametrize("value", [b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 100_000 + b"1" + b"}" * 100_000])
def test_nesting_without_end_is_refused(value: bytes) -> None:
    with pytest.raises(BadRequestError, match="nested too deeply"):
        parse(b'PUT {"key": "k", "value": %b}' % value)


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("SCAN", commands.Scan(KeyRange(), SCAN_ITEMS_MAX, False, False)),
        ("scan {}", commands.Scan(KeyRange(), SCAN_ITEMS_MAX, False, False)),
        ('SCAN {"prefix": "é"}', commands.Scan(KeyRange("é".encode()), SCAN_ITEMS_MAX, False, False)),
        (
            'SCAN {"start": "a", "end": "c", "limit": 7, "reverse": true, "keys_only": true}',
            commands.Scan(KeyRange(b"", b"a", b"c"), 7, True, True),
        ),
        ('SCAN {"end": null, "limit": 99999999999999999999}', commands.Scan(KeyRange(), SCAN_ITEMS_MAX, False, False)),
        ('SCAN {"snapshot": true}', commands.Scan(KeyRange(), SCAN_ITEMS_MAX, False, False, tracked=False)),
        ('GET {"key": "k", "snapshot": true}', Get(b"k", tracked=False)),
        ('GET {"key": "k", "snapshot": false}', Get(b"k")),
        ('ADD {"key": "k"}', commands.Add(b"k", b"1")),
        ('add {"key": "k", "by": -1.50 , "id": "x"}', commands.Add(b"k", b"-1.50", "x")),
        ('ADD {"key": "é", "by": 123456789012345678901234567890}', commands.Add("é".encode(), b"1234567890" * 3)),
        ("HISTORY k", commands.History(b"k", 100)),
        ('HISTORY {"key": "a b"}', commands.History(b"a b", 100)),
        ('HISTORY {"key": "k", "limit": 5, "before": 41}', commands.History(b"k", 5, 41)),
        ('HISTORY {"key": "k", "limit": 5000, "snapshot": true}', commands.History(b"k", 1000, None, tracked=False)),
        ("transactions", commands.Transactions()),
        ('KILL {"transaction": 7}', commands.Kill(7)),
        ("START", commands.Start(TransactionOptions(), wants_object=False)),
        ("START  ", commands.Start(TransactionOptions(), wants_object=False)),
        ("START {}", commands.Start(TransactionOptions(), wants_object=True)),
        (
            'START {"turn": "é", "lost": 2}',
            commands.Start(TransactionOptions(turn="é".encode(), lost=2), wants_object=True),
        ),
        (
            'START {"isolation": "serializable", "read_only": true, "at": 41, "label": "nightly"}',
            commands.Start(TransactionOptions("serializable", True, 41, "nightly"), wants_object=True),
        ),
        ("COMMIT", commands.Commit(wants_object=False)),
        ("commit\t", commands.Commit(wants_object=False)),
        ("COMMIT {}", commands.Commit(wants_object=True)),
        ("COMMIT\t{ }", commands.Commit(wants_object=True)),
        ("rollback", commands.Rollback()),
        ("Stats", commands.Stats()),
        ("checkpoint ", commands.Checkpoint()),
        ("changes", commands.Changes(b"", None)),
        ('CHANGES {"prefix": "é", "from": 0}', commands.Changes("é".encode(), 0)),
        ("ping", commands.Ping()),
        ("HELP", commands.Help()),
        ("QUIT", commands.Quit()),
        ("AUTH a b", commands.Auth("a b")),
        ('AUTH {"password": "é {"}', commands.Auth("é {")),
    ],
)
def test_the_other_verbs_mean(line: str, command: commands.Command) -> None:
    assert parse(line.encode()) == command


@pytest.mark.parametrize(
    "line",
    [
        "SCAN a",
        "SCAN null",
        "SCAN []",
        'SCAN {"limit": 0}',
        'SCAN {"limit": -1}',
        'SCAN {"limit": "5"}',
        'SCAN {"limit": 1.5}',
        'SCAN {"limit": true}',
        'SCAN {"prefix": 1}',
        'SCAN {"prefix": null}',
        'SCAN {"reverse": 1}',
        'SCAN {"Prefix": "a"}',
        'SCAN {"prefix": "a"',
        'SCAN {"snapshot": 1}',
        "ADD",
        "ADD k",
        "ADD k 1",
        'ADD {"by": 1}',
        'ADD {"key": "k", "by": "1"}',
        'ADD {"key": "k", "by": null}',
        'ADD {"key": "k", "by": true}',
        'ADD {"key": "k", "by": [1]}',
        'ADD {"key": "k", "by": +1}',
        'ADD {"key": "k", "by": 01}',
        'ADD {"key": "k", "by": NaN}',
        'ADD {"key": "k", "id": "a b"}',
        'ADD {"key": "k", "value": 1}',
        "HISTORY",
        "HISTORY a b",
        "HISTORY {}",
        'HISTORY {"key": "k", "limit": 0}',
        'HISTORY {"key": "k", "before": -1}',
        'HISTORY {"key": "k", "from": 1}',
        "TRANSACTIONS all",
        "TRANSACTIONS {}",
        "KILL",
        "KILL 7",
        "KILL {}",
        'KILL {"transaction": "7"}',
        'KILL {"transaction": 7.0}',
        'START {"at": -1}',
        "START now",
        "START null",
        "START []",
        'START {"isolation": "none"}',
        'START {"read_only": "yes"}',
        'START {"at": "41"}',
        'START {"label": 5}',
        'START {"turn": 5}',
        'START {"turn": "k", "lost": -1}',
        'START {"timeout": 5}',
        "COMMIT now",
        "COMMIT []",
        'COMMIT {"id": 1}',
        "ROLLBACK all",
        "STATS {}",
        "CHECKPOINT now",
        "CHANGES user:",
        'CHANGES {"from": -1}',
        'CHANGES {"from": "41"}',
        'CHANGES {"from_ts": 41}',
        "PING x",
        "HELP GET",
        "QUIT {}",
        "AUTH",
        "AUTH {}",
        'AUTH {"password": 1}',
        'AUTH {"password": "p", "user": "u"}',
    ],
)
def test_an_argument_of_another_form_is_refused_with_the_usage(line: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        parse(line.encode())
    assert caught.value.message.endswith(f"Usage: {USAGE[line.split()[0]]}")


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        (b"STARTDEL key1", "'STARTDEL'; did you mean START?"),
        (b"gett x", "'GETT'; did you mean GET?"),
        (b"delete x", "'DELETE'; did you mean DEL?"),
        (b"\x00", "HELP lists the commands"),
        (b"{", "'{'; HELP lists the commands"),
        (b"x" * 500, f"{'X' * 32!r}; HELP lists the commands"),
        (b"history2 k", "did you mean HISTORY?"),
    ],
)
def test_an_unknown_verb_is_answered_with_a_hint(line: bytes, hint: str) -> None:
    with pytest.raises(UnknownCommandError) as caught:
        parse(line)
    assert hint in caught.value.message


@pytest.mark.parametrize("line", [b"GET \xff", b"PUT k \xc3", b"\xff\xfe", b"PUT {\xed\xa0\x80", b"GET \xc0\xaf"])
def test_what_is_not_utf8_is_refused_with_its_place(line: bytes) -> None:
    with pytest.raises(BadRequestError, match=r"commands are UTF-8, and byte \d+ of this one is not"):
        parse(line)


def test_the_verb_is_what_stands_before_the_first_blank() -> None:
    assert [verb_of(line) for line in (b"commit", b" Commit\t{}", b"commit{}", b"\xff x", b"  ", b"")] == [
        "COMMIT",
        "COMMIT",
        "COMMIT{}",
        "\ufffd",
        "",
        "",
    ]


verbs = st.sampled_from([verb.encode() for verb in USAGE] + [b"get", b"XYZ", b""])
blanks = st.sampled_from([b" ", b"\t", b"  ", b"\x0b", b""])


@given(st.tuples(blanks, verbs, blanks, st.binary(max_size=40)).map(b"".join).filter(bytes.strip))
@example(b"COMMIT\x0b")
@example(b"\x0bGET\x0ca")
def test_any_bytes_are_a_command_or_refused(line: bytes) -> None:
    with suppress(BadRequestError, UnknownCommandError):
        command = parse(line)
        assert type(command).__name__[:3].upper() == verb_of(line)[:3]


def test_a_carriage_return_between_tokens_becomes_a_space_so_that_a_reply_stays_one_line() -> None:
    assert parse(b'PUT {"key": "k",\r "value": [1,\r2]\r}') == Put(b"k", b"[1, 2]")


@pytest.mark.parametrize("token", ["", "a b", "a\\t", "a\\n", "\\u00e9", "x" * 129])
@pytest.mark.parametrize("command", ['PUT {"key": "k", "value": 1, "id": "%s"}', 'DEL {"key": "k", "id": "%s"}'])
def test_a_wrong_id_is_told_in_words(command: str, token: str) -> None:
    """It was told as a regular expression."""
    for line in (command % token, f'COMMIT {{"id": "{token}"}}'):
        with pytest.raises(BadRequestError, match="an id is 1 to 128 printable ASCII characters without blanks"):
            parse(line.encode())


def test_an_id_may_be_anything_printable_of_128_characters() -> None:
    for token in ("!", "~" * 128, "'#%"):
        command = parse(b'COMMIT {"id": "%b", "after": 0}' % token.encode())
        assert command == commands.Commit(wants_object=True, id=token, after=0, waits=True)


def test_no_commit_comes_after_a_timestamp_below_zero() -> None:
    with pytest.raises(BadRequestError, match=">= 0"):
        parse(b'COMMIT {"id": "q", "after": -1}')
