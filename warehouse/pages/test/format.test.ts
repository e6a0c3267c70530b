import assert from "node:assert/strict";
import { test } from "node:test";
import { age, count, exact, millis, rate, share, signed, together } from "../src/format";

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

test("what is compared keeps its digits, and its sign", () => {
  assert.equal(together(exact(1_234_567, "ms")), "1,234,567\u202fms");
  assert.equal(together(exact(0.01234, "share, 0..1")), "1.234\u202f%");
  assert.equal(together(exact(1.23456, "stalls a minute")), "1.2346\u202fstalls a minute");
  assert.equal(together(signed(-61_000, "ms")), "\u221261,000\u202fms");
  assert.equal(together(signed(0.5, "ratio, may exceed 1")), "+0.5\u202fratio");
  assert.deepEqual([signed(0, "ms"), exact(null, "ms")].map(together), ["0", "–"]);
});
