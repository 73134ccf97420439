"""Patterns: Redis's `stringmatchlen`, and a real Redis to compare with where there is one."""

from __future__ import annotations

from time import perf_counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mvcc_kv.server.redis.failures import Failure
from mvcc_kv.server.redis.globbing import PATTERN_BYTES_MAX, literal_prefix, matcher


def matches(pattern: bytes, text: bytes, *, ignores_case: bool = False) -> bool:
    return bool(matcher(pattern, ignores_case=ignores_case)(text))


class Outline:
    """`stringmatchlen` of Redis 7.0.15, put down again in Python, line by line."""

    def __init__(self, pattern: bytes, ignores_case: bool) -> None:
        self.pattern, self.ignores_case = pattern, ignores_case
        self.skip_longer = False

    def at(self, i: int) -> int:
        return self.pattern[i] if i < len(self.pattern) else 0

    def lower(self, byte: int) -> int:
        return byte + 32 if self.ignores_case and 65 <= byte <= 90 else byte

    def match(self, p: int, text: bytes) -> bool:
        end = len(self.pattern)
        while p < end and text:
            if self.at(p) == 0x2A:
                while p < end and self.at(p + 1) == 0x2A:
                    p += 1
                if end - p == 1:
                    return True
                while text:
                    if self.match(p + 1, text):
                        return True
                    if self.skip_longer:
                        return False
                    text = text[1:]
                self.skip_longer = True
                return False
            p, found = self.one(p, text[0])
            if not found:
                return False
            text = text[1:]
            p += 1
            if not text:
                while self.at(p) == 0x2A:
                    p += 1
        return p == end and not text

    def one(self, p: int, byte: int) -> tuple[int, bool]:
        if self.at(p) == 0x3F:
            return p, True
        if self.at(p) == 0x5B:
            return self.members(p, byte)
        if self.at(p) == 0x5C and len(self.pattern) - p >= 2:
            p += 1
        return p, self.lower(self.at(p)) == self.lower(byte)

    def members(self, p: int, byte: int) -> tuple[int, bool]:
        p += 1
        negated = self.at(p) == 0x5E
        p += negated
        found = False
        while True:
            left = len(self.pattern) - p
            if self.at(p) == 0x5C and left >= 2:
                p += 1
                found |= self.at(p) == byte
            elif self.at(p) == 0x5D:
                break
            elif left == 0:
                p -= 1
                break
            elif left >= 3 and self.at(p + 1) == 0x2D:
                low, high = sorted((signed(self.at(p)), signed(self.at(p + 2))))
                p += 2
                found |= self.lower(low) <= self.lower(signed(byte)) <= self.lower(high)
            else:
                found |= self.lower(self.at(p)) == self.lower(byte)
            p += 1
        return p, found != negated


def signed(byte: int) -> int:
    return byte - 256 if byte > 127 else byte


PATTERNS = st.lists(st.sampled_from(b"aabAB**??[]^-\\c\xe9")).map(bytes)
TEXTS = st.lists(st.sampled_from(b"aabABcC[]^-\\*\xe9\n")).map(bytes)


@given(PATTERNS, TEXTS, st.booleans())
@example(b"[z-a]", b"m", False)
@example(b"[a-\xe9]", b"A", False)
@example(b"**", b"", False)
@example(b"a\\", b"a\\", False)
@example(b"[^", b"a", False)
@example(b"[a-", b"-", False)
@example(b"[a-]", b"^", False)
def test_a_pattern_matches_what_redis_says(pattern: bytes, text: bytes, ignores_case: bool) -> None:
    assert matches(pattern, text, ignores_case=ignores_case) == Outline(pattern, ignores_case).match(0, text)


@pytest.mark.parametrize(
    ("pattern", "text", "does"),
    [
        ("h?llo", "hello", True),
        ("h[^e]llo", "hello", False),
        ("h\\*llo", "h*llo", True),
        ("*a*b*", "xaxbx", True),
        ("*ab", "abab", True),
        ("a*", "a\nb", True),
    ],
)
def test_patterns_as_people_write_them(pattern: str, text: str, does: bool) -> None:
    assert matches(pattern.encode(), text.encode()) == does


def test_a_pattern_made_to_take_for_ever_does_not() -> None:
    begun = perf_counter()
    assert not matches(b"a*" * 900 + b"b", b"a" * 10_000)
    assert not matches(b"*a?" * 300 + b"b", b"ab" * 5_000)
    assert perf_counter() - begun < 5


def test_more_than_a_thousand_stars_match_nothing_as_in_redis() -> None:
    assert matches(b"a*" * 1_001, b"a" * 1_001)
    assert not matches(b"a*" * 1_001 + b"a", b"a" * 1_100)


def test_a_pattern_may_be_long_but_not_endless() -> None:
    assert matches(b"a" * PATTERN_BYTES_MAX, b"a" * PATTERN_BYTES_MAX)
    with pytest.raises(Failure, match="ERR a pattern has at most 2000 brackets here"):
        matcher(b"[a]" * 2_001)
    with pytest.raises(Failure, match="ERR a pattern has at most 131072 bytes here"):
        matcher(b"a" * (PATTERN_BYTES_MAX + 1))


def test_what_comes_before_the_first_sign_is_a_prefix() -> None:
    assert literal_prefix(b"user:*") == (b"user:", False)
    assert literal_prefix(b"user:\\*") == (b"user:", False)
    assert literal_prefix(b"user") == (b"user", True)
