import assert from "node:assert/strict";
import { test } from "node:test";
import { guess, pointsOf } from "../src/data/quick";
import { numberOf, shortUnit, shown } from "../src/data/values";

const answer = (columns: readonly (readonly [string, string])[], rows: readonly (readonly unknown[])[]) => ({
  columns: columns.map(([name, type]) => ({ name, type, unit: null })),
  rows,
  row_count: rows.length,
  truncated: false,
  elapsed_ms: 1,
  publish_id: null,
});
const STAMP = "timestamp[us, tz=UTC]";

test("time goes into a line, one for each name where times repeat", () => {
  const found = answer([["minute", STAMP], ["country", "string"], ["plays", "int64"]], [
    ["2026-01-15T11:31:00Z", "BR", 3],
    ["2026-01-15T11:30:00Z", "BR", 2],
    ["2026-01-15T11:30:00Z", "DE", 9],
    ["2026-01-15T11:31:00Z", null, null],
  ]); // prettier-ignore
  const choice = guess(found);
  assert.deepEqual(choice, { kind: "line", x: 0, y: 2, by: 1 });
  const at = Date.parse("2026-01-15T11:30:00Z");
  assert.deepEqual(pointsOf(found, choice!).series.map(({ name, data }) => [name, data]), [
    ["DE", [[at, 9]]],
    ["BR", [[at, 2], [at + 60_000, 3]]],
    ["null", [[at + 60_000, null]]],
  ]); // prettier-ignore
});

test("names go into bars, two numbers into points, and nothing into nothing", () => {
  assert.equal(guess(answer([["cdn", "string"], ["n", "decimal128(38, 0)"]], [["a", "9007199254740993"]]))?.kind, "bar");
  assert.equal(guess(answer([["a", "int64"], ["b", "double"]], [[1, 2]]))?.kind, "points");
  assert.equal(guess(answer([["a", "int64"]], [[1]])), null);
  assert.equal(guess(answer([["cdn", "string"], ["n", "int64"]], [])), null);
});

test("values read as what they are", () => {
  assert.deepEqual(shown(null, "text", ""), { text: "null", unit: "" });
  assert.deepEqual(shown(1234567, "number", "ms"), { text: "1,234,567", unit: "ms" });
  assert.deepEqual(shown("-9007199254740993.50", "number", ""), { text: "-9,007,199,254,740,993.50", unit: "" });
  assert.deepEqual(shown("2026-01-15T11:30:00.120000Z", "time", ""), { text: "2026-01-15 11:30:00.12", unit: "UTC" });
  assert.deepEqual(shown("2026-01-15", "time", ""), { text: "2026-01-15", unit: "" });
  assert.deepEqual(shown([1, null], "nested", ""), { text: "[1,null]", unit: "" });
  assert.equal(shown(0.00002, "number", "").text, "2.000e-5");
  assert.equal(numberOf("9007199254740993"), 9007199254740992);
  assert.deepEqual(["share, 0..1", "count", "ms", null].map(shortUnit), ["share", "", "ms", ""]);
});
