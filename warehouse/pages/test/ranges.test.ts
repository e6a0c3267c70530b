import assert from "node:assert/strict";
import { test } from "node:test";
import { fitting, rangeOf } from "../src/data/ranges";

test("the page opens on what there is to see, three hours at most", () => {
  const now = 1_000_000;
  assert.equal(fitting(now - 200, now), "15m");
  assert.equal(fitting(now - 1_000, now), "1h");
  assert.equal(fitting(now - 500_000, now), "3h");
  assert.equal(fitting(null, now), "3h");
});

test("an address may name any range, and only ranges", () => {
  assert.equal(rangeOf("24h"), "24h");
  assert.equal(rangeOf("toString"), null);
});
