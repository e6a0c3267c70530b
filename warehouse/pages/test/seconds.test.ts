import assert from "node:assert/strict";
import { test } from "node:test";
import type { Seconds } from "../src/data/protocol";
import { HOUR, ceiling, mergeSeconds } from "../src/data/seconds";

const of = (first: number, plays: readonly number[], kept_from = 100): Seconds => ({ first, kept_from, plays, concurrent: plays.map((n) => n * 10), failures: plays.map(() => 0) });

test("an update replaces the seconds from its first on", () => {
  assert.deepEqual(mergeSeconds(of(100, [1, 2, 3]), of(102, [4, 5])), of(100, [1, 2, 4, 5]));
  assert.deepEqual(mergeSeconds(of(100, [1, 2]), of(102, [])), of(100, [1, 2]));
});

test("what the server has forgotten goes", () => {
  const known = of(100, Array<number>(HOUR).fill(1));
  const merged = mergeSeconds(known, of(100 + HOUR, [7, 8], 102));
  assert.deepEqual([merged?.first, merged?.plays.length, merged?.plays.slice(-2), merged?.concurrent.length], [102, HOUR, [7, 8], HOUR]);
  assert.deepEqual(mergeSeconds(of(100, [1, 2, 3]), of(103, [4], 102)), of(102, [3, 4], 102));
});

test("what does not join on takes the place of what was known", () => {
  assert.deepEqual(mergeSeconds(of(100, [1, 2]), of(110, [3])), of(110, [3]));
  assert.deepEqual(mergeSeconds(of(100, [1, 2]), of(90, [3])), of(90, [3]));
  assert.equal(mergeSeconds(of(100, [1]), null), null);
  assert.deepEqual(mergeSeconds(null, of(1, [1])), of(1, [1]));
});

test("an axis reaches over what is usual, not over a few wild seconds", () => {
  assert.equal(ceiling([1, 2, 3]), 3);
  assert.equal(ceiling([...Array<number>(199).fill(4), 500]), 20);
  assert.equal(ceiling([...Array<number>(150).fill(4), ...Array<number>(50).fill(500)]), 500);
  assert.equal(ceiling([4, 4], [30, null, 30]), 30);
  assert.equal(ceiling([]), 0);
});
