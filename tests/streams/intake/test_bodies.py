"""A body is cut into records that keep their bytes, whatever white space and form it has."""

from __future__ import annotations

import gzip
import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.errors import ContractError
from streams.intake.bodies import split, unpack

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
    assert split(gap + b"[" + gap + (gap + b"," + gap).join(texts) + gap + b"]" + gap) == texts
    assert split(gap + b"\n".join(texts) + gap) == texts
    assert split(b"\r\n\r\n".join(texts)) == texts


def test_one_object_over_several_lines_is_one_record() -> None:
    pretty = json.dumps({"userId": "u", "nested": {"a": [1, 2]}}, indent=2).encode()
    assert split(b"\n" + pretty + b"\n") == [pretty]


def test_a_broken_line_is_a_record_among_good_ones() -> None:
    assert split(b'{"a":1}\n{"b":\n"\xff"\n{"c":3}') == [b'{"a":1}', b'{"b":', b'"\xff"', b'{"c":3}']


def test_bad_utf8_in_an_array_stays_with_its_element() -> None:
    assert split(b'[{"a":"\xff"},{"b":2}]') == [b'{"a":"\xff"}', b'{"b":2}']


def test_an_empty_array_has_no_records() -> None:
    assert split(b" [ ] ") == []


@pytest.mark.parametrize(
    "body", [b"", b" \n ", b"hello", b'[{"a":1}', b'[{"a":1} {"b":2}]', b"{", b"a=1&b=2", b"[" * 99999]
)
def test_nothing_to_read(body: bytes) -> None:
    with pytest.raises(ContractError) as caught:
        split(body)
    assert caught.value.reason == "not_json"


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_records_of_the_body_or_unreadable(body: bytes) -> None:
    try:
        records = split(body)
    except ContractError:
        return
    place = 0
    for record in records:
        place = body.index(record, place) + len(record)


def test_gzip_is_unpacked_up_to_the_limit() -> None:
    body = b"x" * 1000
    assert unpack(body, "", 10) == body
    assert unpack(gzip.compress(body), "gzip", 1000) == body
    for packed, encoding, limit, reason in (
        (gzip.compress(body), "gzip", 999, "too_large"),
        (gzip.compress(body)[:-1], "gzip", 1000, "not_gzip"),
        (gzip.compress(body) * 2, "gzip", 1000, "not_gzip"),
        (body, "gzip", 1000, "not_gzip"),
        (body, "br", 1000, "unknown_encoding"),
    ):
        with pytest.raises(ContractError) as caught:
            unpack(packed, encoding, limit)
        assert caught.value.reason == reason


def test_a_bomb_is_not_unpacked() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(ContractError):
            unpack(bomb, "gzip", 1000)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
