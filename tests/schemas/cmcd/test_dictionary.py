"""The dictionary reader: what a strict reader takes, it reads the same; what players send beyond it, it takes too."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import http_sf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.errors import ContractError
from schemas.cmcd.dictionary import Token, parse

KEYS = st.from_regex(r"[a-z*][a-z0-9_.*-]{0,6}", fullmatch=True)
BARE = (
    st.integers(-(10**15) + 1, 10**15 - 1)
    | st.decimals(-99999, 99999, places=2)
    | st.booleans()
    | st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12)
    | st.from_regex(r"[A-Za-z*][A-Za-z0-9:/!#.-]{0,6}", fullmatch=True).map(http_sf.Token)
    | st.binary(max_size=6)
)
PARAMETERS = st.dictionaries(KEYS, BARE, max_size=2)
ITEM = st.tuples(BARE, PARAMETERS)
DICTIONARIES = st.dictionaries(KEYS, st.tuples(BARE | st.lists(ITEM, max_size=3), PARAMETERS), min_size=1, max_size=6)


def plain(value: Any) -> Any:
    """What http-sf read, as our reader gives it."""
    if isinstance(value, list):
        return [(plain(item), {name: plain(v) for name, v in parameters.items()}) for item, parameters in value]
    if isinstance(value, Decimal):
        return float(value)
    return Token(str(value)) if isinstance(value, http_sf.Token) else value


def typed(value: Any) -> Any:
    """Equal only if the types are: `1` is not true, a token is no string."""
    if isinstance(value, list):
        return [(typed(item), {n: typed(v) for n, v in parameters.items()}) for item, parameters in value]
    return type(value).__name__, value


@settings(max_examples=300, deadline=None)
@given(DICTIONARIES)
def test_it_reads_what_a_strict_reader_reads(content: dict[str, Any]) -> None:
    text = http_sf.ser(content)
    strict = {name: plain(value) for name, (value, _) in http_sf.parse(text.encode(), tltype="dictionary").items()}
    ours = parse(text)
    assert {name: typed(value) for name, value in ours.items()} == {n: typed(v) for n, v in strict.items()}
    assert list(ours) == list(strict)


@settings(max_examples=500, deadline=None)
@given(st.text(max_size=40) | st.text('ab=,;()"\\ 1.-?:@%', max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse(text)
    except ContractError as error:
        assert error.reason == "not_cmcd"
        with pytest.raises(http_sf.StructuredFieldError if hasattr(http_sf, "StructuredFieldError") else Exception):
            raise_if_empty(http_sf.parse(text.encode(), tltype="dictionary"))


def raise_if_empty(content: dict[str, Any]) -> None:
    """An empty field is a dictionary to the RFC, but no report."""
    if not content:
        msg = "empty"
        raise http_sf.StructuredFieldError(msg)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('cid="Übersicht",sid="a"', {"cid": "Übersicht", "sid": "a"}),
        ("pr=1.333333,bg \r\n", {"pr": 1.333333, "bg": True}),
        ("Com.Example-x=1", {"com.example-x": 1}),
        ('a="x, y=1",b', {"a": "x, y=1", "b": True}),
        ("a=1, b=2,a=3", {"b": 2, "a": 3}),
        ("bl=(7000;v 6900;a)", {"bl": [(7000, {"v": True}), (6900, {"a": True})]}),
    ],
)
def test_what_players_send_beyond_the_rfc_is_read(text: str, expected: dict[str, Any]) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    "text", ["", " ", "e=", "=1", "a=1,", "a=1 b=2", 'a="x', "a=(1", "a=1.2.3", "a=(1)2", "{}", "a=1234567890123456"]
)
def test_what_is_no_dictionary_is_refused_with_the_place(text: str) -> None:
    with pytest.raises(ContractError, match="at character") as caught:
        parse(text)
    assert caught.value.reason == "not_cmcd"
