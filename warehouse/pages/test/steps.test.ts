import assert from "node:assert/strict";
import { test } from "node:test";
import { broken } from "../src/charts/steps";

test("what lies between two steps that are not neighbours is not drawn", () => {
  assert.deepEqual(broken([0, 60_000, 240_000], [1, null, 3], 60), [[0, 1], [60_000, null], [120_000, null], [240_000, 3]]);
  assert.deepEqual(broken([], [], 60), []);
});
