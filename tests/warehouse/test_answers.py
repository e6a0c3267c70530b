from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.errors import SettingsError
from warehouse import answers
from warehouse.forms import Form, form_of
from warehouse.sandbox.pool import Answer


def answer(sql: str, truncated: bool = False) -> Answer:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    return Answer(connection.execute(sql).to_arrow_table(), truncated, 0.0123, "p1", True)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("9007199254740991::BIGINT", 9007199254740991),
        ("9007199254740992::BIGINT", "9007199254740992"),
        ("(-9007199254740992)::BIGINT", "-9007199254740992"),
        ("sum(5::BIGINT)", 5),  # HUGEINT
        ("1.50::DECIMAL(9, 2)", "1.50"),
        ("'nan'::DOUBLE", None),
        ("'-inf'::DOUBLE", None),
        ("0.1::DOUBLE", 0.1),
        ("TIMESTAMPTZ '2026-01-15 20:30:45.123456+01'", "2026-01-15T19:30:45.123456Z"),
        ("TIMESTAMPTZ '2026-01-15 20:30:45+00'", "2026-01-15T20:30:45Z"),
        ("'infinity'::TIMESTAMPTZ", None),
        ("TIMESTAMP '2026-01-15 20:30:45'", "2026-01-15T20:30:45"),
        ("DATE '2026-01-15'", "2026-01-15"),
        ("TIME '10:20:30'", "10:20:30"),
        ("INTERVAL '1 month 2 days 3 seconds'", "P1M2DT3S"),
        ("[1, NULL, 9007199254740993]", [1, None, "9007199254740993"]),
        ("{'a': 1, 'b': 'nan'::DOUBLE}", {"a": 1, "b": None}),
        ("MAP {'k': 1}", {"k": 1}),
        ("'\\xAA\\x01'::BLOB", "aa01"),
        ("NULL", None),
        ("true", True),
        ("'ü \"quoted\"'", 'ü "quoted"'),
    ],
)
def test_json_loses_no_digit_and_holds_no_nan(expression: str, expected: object) -> None:
    body = json.loads(answers.to_json(answer(f"SELECT {expression} AS a")))
    assert body["rows"] == [[expected]]
    assert body["columns"][0]["name"] == "a"


def test_json_says_whether_it_is_all() -> None:
    body = json.loads(answers.to_json(answer("SELECT 1 AS a, 2 AS a", truncated=True)))
    assert body["rows"] == [[1, 2]], "two columns of one name keep both values"
    assert (body["truncated"], body["row_count"], body["publish_id"], body["elapsed_ms"]) == (True, 1, "p1", 12.3)


def test_csv_can_be_read_back() -> None:
    text = answers.to_csv(
        answer("SELECT 'a,\"b\"\nc' AS t, [1, 2] AS l, NULL AS n, 1.5::DOUBLE AS d, false AS f")
    ).decode()
    assert list(csv.reader(io.StringIO(text))) == [
        ["t", "l", "n", "d", "f"],
        ['a,"b"\nc', "[1, 2]", "", "1.5", "false"],
    ]


def test_arrow_keeps_types() -> None:
    given = answer("SELECT 1::TINYINT AS a, [1.5] AS b")
    assert pa.ipc.open_stream(answers.to_arrow(given)).read_all().equals(given.table)


def test_parquet_keeps_what_it_can(tmp_path: Path) -> None:
    given = answer(
        "SELECT 1::HUGEINT AS a, 2 AS a, INTERVAL '1 day' AS i, [1.5] AS l, {'x': 1} AS s, NULL AS n, "
        "TIMESTAMPTZ '2026-01-15 20:30:45+00' AS t, MAP {'k': 1} AS m"
    )
    answers.to_parquet(given, tmp_path / "a.parquet")
    table = pq.read_table(tmp_path / "a.parquet")
    assert table.schema.names == ["a", "a_2", "i", "l", "s", "n", "t", "m"]
    row = table.to_pylist()[0]
    assert (row["a"], row["a_2"], row["i"], row["l"], row["s"]) == (1, 2, "P0M1DT0S", [1.5], {"x": 1})
    assert table.schema.field("t").type == pa.timestamp("us", tz="UTC")


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.csv", "n\n1\n"), ("a.json", '"rows":[[1]]'), ("a.txt", "n\n-\n1\n(1 row)\n"), ("a", "n\n-\n1\n(1 row)\n")],
)
def test_a_file_is_what_its_ending_says(tmp_path: Path, name: str, content: str) -> None:
    file = tmp_path / name
    file.write_text("what was there before, which is longer")
    answers.write_file(answer("SELECT 1 AS n"), form_of(None, file), file)
    assert content in file.read_text()
    assert "before" not in file.read_text()


def test_parquet_needs_a_file() -> None:
    with pytest.raises(SettingsError, match="parquet is for files: name one with `--output FILE`"):
        form_of(Form.parquet, None)


def test_table_lines_up() -> None:
    given = answer("SELECT * FROM (VALUES (1, 'a'), (200, repeat('x', 100))) AS t(number, text)", truncated=True)
    lines = answers.to_text(given, max_width=10).splitlines()
    assert lines == [
        "number  text",
        "------  ----------",
        "     1  a",
        "   200  xxxxxxxxx…",
        "(2 rows, more were cut off)",
    ]


def test_no_rows_still_has_columns() -> None:
    assert answers.to_text(answer("SELECT 1 AS a WHERE false")).splitlines() == ["a", "-", "(0 rows)"]
    assert json.loads(answers.to_json(answer("SELECT 1 AS a WHERE false")))["rows"] == []
