import assert from "node:assert/strict";
import { test } from "node:test";
import { age, count, millis, rate, share, together } from "../src/format";

test("every number carries its unit, and the unknown is not zero", () => {
  assert.equal(together(count(5156, "viewers")), "5,156\u202fviewers");
  assert.equal(together(count(18_442_000)), "18.44M");
  assert.equal(together(millis(938.4)), "938\u202fms");
  assert.equal(together(millis(4_186)), "4.19\u202fs");
  assert.equal(together(share(0.01426)), "1.43\u202f%");
  assert.equal(together(share(0.2)), "20.0\u202f%");
  assert.equal(together(rate(0.4, "/ s")), "0.4\u202f/ s");
  for (const format of [count, millis, share]) assert.equal(together(format(null)), "–");
});

test("ages", () => {
  assert.deepEqual([900, 59_999, 61_000, 7_300_000, 900_000_000].map(age), ["0 s", "59 s", "1 min", "2 h", "10 days"]);
});
