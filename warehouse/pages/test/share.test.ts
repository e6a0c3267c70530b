import assert from "node:assert/strict";
import { test } from "node:test";
import { atLeast } from "../src/data/share";

test("the lower bound of a share is far below it in a small sample, and near it in a large one", () => {
  assert.equal(atLeast(0.1, 0), 0);
  assert.equal(Math.round(atLeast(0, 50) * 1e6), 0);
  assert.equal(atLeast(0.1, 20).toFixed(4), "0.0279"); // 2 of 20
  assert.equal(atLeast(1.2, 40), atLeast(1, 40));
  assert.equal(atLeast(0.1, 2_000).toFixed(4), "0.0876");
});
