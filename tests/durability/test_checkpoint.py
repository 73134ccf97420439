"""The checkpoint file: what goes in comes out to the letter, any tool reads it, and damage is never taken for data."""

from __future__ import annotations

import json
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvcc_kv.api import TransactionOptions
from mvcc_kv.durability import Checkpoint, decode_checkpoint, encode_checkpoint
from mvcc_kv.durability.checkpoint import KEYS_PER_CHUNK
from mvcc_kv.engine import VersionedStore
from mvcc_kv.errors import DataDirectoryError
from mvcc_kv.values import Expiring, encode_key, encode_value

READ_ONLY = TransactionOptions(read_only=True)

KEYS = st.text().map(encode_key)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
SPELLINGS = st.sampled_from([b"1.0", b"1e400", b"-0", b"1E+2", b'"\\u00e9\\/"', b"[ 1 ,2]", b"9" * 400, b'"\\n,\\n"'])
ITEMS = st.dictionaries(KEYS, JSON.map(encode_value) | SPELLINGS, max_size=12)


def store_of(items: dict[bytes, bytes]) -> VersionedStore:
    store = VersionedStore()
    for key, value in items.items():
        store.put(key, value)
    return store


def encoded(items: dict[bytes, bytes]) -> bytes:
    return b"".join(encode_checkpoint(store_of(items).begin(READ_ONLY)))


def signed(body: bytes) -> bytes:
    """A file with this body and the checksum that fits it."""
    return body + b',\n"crc32": "%08x"}\n' % zlib.crc32(body)


SMALL = encoded({b"alice": b"90", b"bob": b'{"balance": 1.0}', 'zoë "z"'.encode(): b'"\xc3\xab"'})


def test_a_checkpoint_is_laid_out_as_documented() -> None:
    lines = encoded({b"b": b'{"n": 1.0}', b"a": b"1"}).decode().splitlines()
    assert lines[:-1] == [
        '{"format": "mvcc-kv-checkpoint",',
        '"format_version": 1,',
        '"commit_ts": 2,',
        '"data": {',
        '"a": 1,',
        '"b": {"n": 1.0}',
        "},",
    ]
    assert lines[-1].startswith('"crc32": "')


def test_a_checkpoint_where_keys_expire_is_laid_out_as_documented() -> None:
    lines = encoded({b"b": b"1", b"a": Expiring(b"2", 1_795_425_757_123_456), b"c": Expiring(b"3", 7)}).decode()
    assert lines.splitlines()[:-1] == [
        '{"format": "mvcc-kv-checkpoint",',
        '"format_version": 2,',
        '"commit_ts": 3,',
        '"data": {',
        '"a": 2,',
        '"b": 1,',
        '"c": 3',
        "},",
        '"expires": {',
        '"a": 1795425757123456,',
        '"c": 7',
        "},",
    ]
    assert json.loads(lines)["expires"] == {"a": 1_795_425_757_123_456, "c": 7}


@given(ITEMS, st.data())
def test_the_times_when_keys_expire_come_back(items: dict[bytes, bytes], data: st.DataObject) -> None:
    times = {key: data.draw(st.integers(1, 2**63)) for key in items if data.draw(st.booleans())}
    stored = {key: Expiring(value, times[key]) if key in times else value for key, value in items.items()}
    found = list(decode_checkpoint(encoded(stored)).items.items())
    assert found == sorted(items.items())
    assert {key: value.expires_us for key, value in found if isinstance(value, Expiring)} == times


@pytest.mark.parametrize("count", [1, KEYS_PER_CHUNK, KEYS_PER_CHUNK + 1, 2 * KEYS_PER_CHUNK + 1])
def test_the_times_of_many_keys_join_without_a_seam_and_in_bounded_steps(count: int) -> None:
    store = store_of({b"%06d" % number: Expiring(b"0", 1 + number) for number in range(count)})
    chunks = list(encode_checkpoint(store.begin(READ_ONLY)))
    assert max(chunk.count(b": ") for chunk in chunks) <= max(KEYS_PER_CHUNK, 4)
    values = decode_checkpoint(b"".join(chunks)).items.values()
    found = [value.expires_us for value in values if isinstance(value, Expiring)]
    assert found == list(range(1, count + 1))


def test_where_no_key_expires_any_more_none_is_listed() -> None:
    store = store_of({b"a": Expiring(b"1", 1)})
    snapshot = store.begin(READ_ONLY)
    store.put(b"a", b"2")
    assert b'"format_version": 2' in b"".join(encode_checkpoint(snapshot))
    assert b'"format_version": 1' in b"".join(encode_checkpoint(store.begin(READ_ONLY)))


def test_the_documented_check_by_other_means_works() -> None:
    for text in (SMALL, encoded({b"a": Expiring(b"1", 1)})):
        body, crc32 = text.rsplit(b',\n"crc32": ', 1)
        assert crc32 == b'"%08x"}\n' % zlib.crc32(body)


@pytest.mark.parametrize(
    ("expires", "reason"),
    [
        (b'"b": 7', "has no value"),
        (b'"a": x', "invalid literal"),
        (b'"a": 7\n},\n"more": {', "no entry"),
    ],
)
def test_times_that_are_not_of_the_format_are_refused(expires: bytes, reason: str) -> None:
    head = b'{"format": "mvcc-kv-checkpoint",\n"format_version": 2,\n"commit_ts": 7,\n"data": {\n"a": 1\n'
    with pytest.raises(DataDirectoryError, match=reason):
        decode_checkpoint(signed(head + b'},\n"expires": {\n' + expires + b"\n}"))
    with pytest.raises(DataDirectoryError, match="no expires"):
        decode_checkpoint(signed(head + b"}"))


@given(ITEMS)
def test_what_was_stored_comes_back_to_the_letter(items: dict[bytes, bytes]) -> None:
    decoded = decode_checkpoint(encoded(items))
    assert decoded == Checkpoint(len(items), items)
    assert list(decoded.items) == sorted(items)


@given(st.dictionaries(st.text(), JSON, max_size=12))
def test_any_json_tool_reads_it(data: dict[str, Any]) -> None:
    document = json.loads(encoded({encode_key(key): encode_value(value) for key, value in data.items()}))
    assert list(document) == ["format", "format_version", "commit_ts", "data", "crc32"]
    assert document["data"] == json.loads(json.dumps(data))
    assert document["commit_ts"] == len(data)


@given(ITEMS)
def test_each_entry_is_one_line(items: dict[bytes, bytes]) -> None:
    assert encoded(items).count(b"\n") == len(items) + 6


@pytest.mark.parametrize(
    "count", [0, 1, KEYS_PER_CHUNK - 1, KEYS_PER_CHUNK, KEYS_PER_CHUNK + 1, 2 * KEYS_PER_CHUNK + 1]
)
def test_pages_join_without_a_seam(count: int) -> None:
    items = {b"%06d" % number: b"%d" % number for number in range(count)}
    assert decode_checkpoint(encoded(items)) == Checkpoint(count, items)


def test_a_step_is_bounded() -> None:
    items = {b"%06d" % number: b"0" for number in range(3 * KEYS_PER_CHUNK)}
    chunks = list(encode_checkpoint(store_of(items).begin(READ_ONLY)))
    assert max(chunk.count(b": 0") for chunk in chunks) == KEYS_PER_CHUNK


def test_deleted_keys_are_not_in_it_even_a_page_full_of_them() -> None:
    store = store_of({b"%06d" % number: b"0" for number in range(3 * KEYS_PER_CHUNK)})
    before = store.begin(READ_ONLY)  # keeps the tombstones
    for number in range(2 * KEYS_PER_CHUNK):
        store.delete(b"%06d" % number)
    items = decode_checkpoint(b"".join(encode_checkpoint(store.begin(READ_ONLY)))).items
    before.rollback()
    assert list(items) == [b"%06d" % number for number in range(2 * KEYS_PER_CHUNK, 3 * KEYS_PER_CHUNK)]


def test_commits_during_a_checkpoint_do_not_show_in_it() -> None:
    items = {b"%06d" % number: b"0" for number in range(3 * KEYS_PER_CHUNK)}
    store = store_of(items)
    snapshot = store.begin(READ_ONLY)
    chunks = []
    for chunk in encode_checkpoint(snapshot):
        chunks.append(chunk)
        store.put(b"%06d" % (len(items) - 1), b'"later"')
        store.put(b"999999-new", b"1")
        store.delete(b"%06d" % (len(items) - 2))
    assert decode_checkpoint(b"".join(chunks)) == Checkpoint(snapshot.start_ts, items)


def test_the_snapshot_ends_with_the_last_chunk() -> None:
    store = store_of({b"a": b"1"})
    list(encode_checkpoint(store.begin(READ_ONLY)))
    assert store.stats()["active_transactions"] == 0


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_the_snapshot_ends_when_the_chunks_are_closed_early(steps: int) -> None:
    store = store_of({b"a": b"1"})
    chunks = encode_checkpoint(store.begin(READ_ONLY))
    for _ in range(steps):
        next(chunks)
    chunks.close()
    chunks.close()
    assert store.stats()["active_transactions"] == 0
    assert list(chunks) == []


def test_a_step_that_raises_ends_the_snapshot() -> None:
    store = store_of({})
    store.put(b"\xff", b"1")  # nobody above lets such a key in
    with pytest.raises(UnicodeDecodeError):
        list(encode_checkpoint(store.begin(READ_ONLY)))
    assert store.stats()["active_transactions"] == 0


def test_a_newline_between_a_values_tokens_becomes_a_space() -> None:
    assert decode_checkpoint(encoded({b"a": b'{\n"b": 1,\n"c": 2\n}'})).items == {b"a": b'{ "b": 1, "c": 2 }'}


def test_a_value_nested_deeper_than_python_recurses_is_loaded() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    assert decode_checkpoint(encoded({b"a": deep})).items == {b"a": deep}


def test_a_lost_last_newline_is_forgiven() -> None:
    assert decode_checkpoint(SMALL[:-1]) == decode_checkpoint(SMALL)


def test_entries_out_of_order_are_put_in_order() -> None:
    head = b'{"format": "mvcc-kv-checkpoint",\n"format_version": 1,\n"commit_ts": 7,\n"data": {'
    text = signed(head + b'\n"b": 2,\n"a": 1\n}')
    assert decode_checkpoint(text) == Checkpoint(7, {b"a": b"1", b"b": b"2"})


# Damage


@pytest.mark.parametrize("bit", range(8))
def test_every_flipped_bit_is_refused(bit: int) -> None:
    for at in range(len(SMALL)):
        damaged = SMALL[:at] + bytes([SMALL[at] ^ (1 << bit)]) + SMALL[at + 1 :]
        with pytest.raises(DataDirectoryError):
            decode_checkpoint(damaged)


def test_every_truncation_is_refused_as_cut_short() -> None:
    for length in range(len(SMALL) - 1):
        with pytest.raises(DataDirectoryError, match="cut short"):
            decode_checkpoint(SMALL[:length])


@given(st.binary(max_size=40), st.integers(0, len(SMALL)), st.integers(0, 40))
def test_no_splice_yields_other_data(inserted: bytes, at: int, removed: int) -> None:
    text = SMALL[:at] + inserted + SMALL[at + removed :]
    try:
        decoded = decode_checkpoint(text)
    except DataDirectoryError:
        return
    assert decoded == decode_checkpoint(SMALL)


REFUSALS = {
    "empty": (b"", "cut short"),
    "not JSON": (b"hello\n", "cut short or damaged"),
    "not UTF-8": (b"\xff\xfe\x00", "cut short or damaged"),
    "other JSON": (b'{"name": "something else"}', "not mvcc-kv's"),
    "other format": (b'{"format": 3, "format_version": 1}', "not mvcc-kv's"),
    "no object": (b"[1, 2]", "not mvcc-kv's"),
    "changed value": (SMALL.replace(b"90", b"91"), "doesn't match its crc32"),
    "newer": (
        SMALL.replace(b'version": 1', b'version": 3'),
        "version 3, from a newer mvcc-kv; this one reads versions up to 2",
    ),
    "newer, other members": (b'{"format": "mvcc-kv-checkpoint", "format_version": 9}', "upgrade"),
    "written anew": (json.dumps(json.loads(SMALL)).encode(), "changed after it was written"),
    "trailing text": (SMALL + b"more", "cut short or damaged"),
    "signed, no entries": (signed(SMALL.split(b"\n}")[0] + b"\nrubbish\n}"), "no entry at byte"),
    "signed, no data end": (signed(SMALL.split(b"\n}")[0]), "cut short or damaged"),
    "signed, not UTF-8": (signed(SMALL.split(b"\n}")[0] + b',\n"a": "\xff"\n}'), "not of its format"),
    "signed, no key": (signed(SMALL.split(b"\n}")[0] + b',\n"\\q": 1\n}'), "not of its format"),
}


@pytest.mark.parametrize(("text", "reason"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_is_one_line_that_names_the_file_the_reason_and_the_remedy(text: bytes, reason: str) -> None:
    with pytest.raises(DataDirectoryError) as refused:
        decode_checkpoint(text, "'data/checkpoint.json'")
    message = refused.value.message
    assert message.startswith("'data/checkpoint.json' ")
    assert reason in message
    assert "\n" not in message
    assert any(remedy in message for remedy in ("put a good copy back", "move it away", "upgrade"))
