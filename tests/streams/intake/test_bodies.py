"""A body is cut into records that keep their bytes, whatever white space and form it has."""

from __future__ import annotations

import gzip
import json
import time
import tracemalloc

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.errors import ContractError, RequestRefused
from streams.intake.bodies import is_deeper, split, unpack

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(), VALUES, max_size=4)


@settings(deadline=None)
@given(st.lists(OBJECTS, min_size=1, max_size=5), st.sampled_from(["", " ", "\n", " \r\n\t"]), st.booleans())
def test_every_form_gives_the_same_records(objects: list[dict[str, object]], space: str, ascii_only: bool) -> None:
    texts = [json.dumps(one, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass") for one in objects]
    gap = space.encode()
    assert split(gap + b"[" + gap + (gap + b"," + gap).join(texts) + gap + b"]" + gap, 100) == texts
    assert split(gap + b"\n".join(texts) + gap, 100) == texts
    assert split(b"\r\n\r\n".join(texts), 100) == texts


def test_one_object_over_several_lines_is_one_record() -> None:
    pretty = json.dumps({"userId": "u", "nested": {"a": [1, 2]}}, indent=2).encode()
    assert split(b"\n" + pretty + b"\n", 100) == [pretty]


def test_a_broken_line_is_a_record_among_good_ones() -> None:
    assert split(b'{"a":1}\n{"b":\n"\xff"\n{"c":3}', 100) == [b'{"a":1}', b'{"b":', b'"\xff"', b'{"c":3}']


def test_broken_lines_alone_are_records_each_and_one_broken_object_is_none() -> None:
    lines = [b'{"eventId":"a","ex', b'{"eventId":"b","ex']
    assert split(b"\n".join(lines) + b"\n", 10) == lines
    for body in (lines[0], b'{\n  "eventId": "a",\n  "extra": {'):
        with pytest.raises(ContractError, match="expected a JSON array of events, one event, or NDJSON"):
            split(body, 10)


def test_bad_utf8_in_an_array_stays_with_its_element() -> None:
    assert split(b'[{"a":"\xff"},{"b":2}]', 100) == [b'{"a":"\xff"}', b'{"b":2}']


def test_an_empty_array_has_no_records() -> None:
    assert split(b" [ ] ", 100) == []


@pytest.mark.parametrize(
    "body", [b"", b" \n ", b"hello", b'[{"a":1}', b'[{"a":1} {"b":2}]', b"{", b"a=1&b=2", b"[" * 99999]
)
def test_nothing_to_read(body: bytes) -> None:
    with pytest.raises(ContractError) as caught:
        split(body, 100)
    assert caught.value.reason == "not_json"


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_records_of_the_body_or_unreadable(body: bytes) -> None:
    try:
        records = split(body, 1000)
    except ContractError:
        return
    place = 0
    for record in records:
        place = body.index(record, place) + len(record)


PACKERS = {"gzip": gzip.compress, "zstd": zstandard.ZstdCompressor(level=19).compress}


@pytest.mark.parametrize("name", PACKERS)
def test_packed_bodies_are_unpacked_up_to_the_limit(name: str) -> None:
    body = b"x" * 1000
    packed = PACKERS[name](body)
    assert unpack(packed, name, 1000) == body
    assert unpack(PACKERS[name](b""), name, 1000) == b""
    for wrong, kind, limit, reason in (
        (packed, RequestRefused, 999, "too_large"),
        (packed[:-1], ContractError, 1000, "bad_encoding"),
        (packed * 2, ContractError, 1000, "bad_encoding"),
        (packed + b"x", ContractError, 1000, "bad_encoding"),
        (b"", ContractError, 1000, "bad_encoding"),
        (body, ContractError, 1000, "bad_encoding"),
    ):
        with pytest.raises(kind) as caught:
            unpack(wrong, name, limit)
        assert caught.value.reason == reason


def test_other_encodings() -> None:
    assert unpack(b"xx", "", 1) == unpack(b"xx", "identity", 1) == b"xx"
    with pytest.raises(RequestRefused, match="expected Content-Encoding gzip, zstd or none, got 'br'"):
        unpack(b"xx", "br", 10)


@pytest.mark.parametrize("name", PACKERS)
def test_a_bomb_is_not_unpacked(name: str) -> None:
    bomb = PACKERS[name](bytes(50_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(RequestRefused, match="unpacks to more"):
            unpack(bomb, name, 1000)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_a_zstd_frame_that_wants_gigabytes_of_memory_is_refused() -> None:
    params = zstandard.ZstdCompressionParameters(window_log=27, compression_level=3, write_content_size=0)
    packed = zstandard.ZstdCompressor(compression_params=params).compressobj()
    frame = packed.compress(b"x" * 1000) + packed.flush()
    with pytest.raises(ContractError, match="zstd"):
        unpack(frame, "zstd", 10_000)


@pytest.mark.parametrize(
    "body", [b"[1,2,3]", b"1\n2\n3", b"[" + b"1," * 5000 + b"1]", b"1\n" * 5000, b"[" + b"," * 9999]
)
def test_more_records_than_allowed(body: bytes) -> None:
    with pytest.raises(RequestRefused) as caught:
        split(body, 2)
    assert caught.value.reason == "too_many"
    assert "at most 2 events" in caught.value.detail


HUGE = {
    "short values": b"[" + b"1," * 999_998 + b"1]",
    "nested values": b"[[" + b"1," * 999_996 + b"1]]",
    "open brackets": b"[" * 2_000_000,
    "open quotes": b"[" + b'"' * 1_999_999,
    "escapes": b"[" + b'\\"' * 999_999,
    "commas": b"[" + b"," * 1_999_999,
    "lines": b"a\n" * 1_000_000,
    "strings": b"[" + b'"aaaaaaa",' * 199_999 + b"1]",
    "blank": b" " * 2_000_000,
}


@pytest.mark.parametrize("what", HUGE)
def test_no_body_of_the_largest_size_keeps_the_others_waiting(what: str) -> None:
    began = time.process_time()
    with pytest.raises((ContractError, RequestRefused)):
        split(HUGE[what], 10_000)
    assert time.process_time() - began < 0.2


NESTED = st.recursive(
    st.integers() | st.text(alphabet='[]{}"\\a', max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='[{"\\', max_size=3), inner, max_size=3)
    ),
    max_leaves=30,
)


def depth_of(value: object) -> int:
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    return 0


@settings(deadline=None)
@given(NESTED)
def test_depth(value: object) -> None:
    raw = json.dumps(value).encode()
    depth = depth_of(value)
    assert not is_deeper(raw, depth)
    assert depth == 0 or is_deeper(raw, depth - 1)
