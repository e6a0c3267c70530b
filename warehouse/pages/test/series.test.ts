import assert from "node:assert/strict";
import { test } from "node:test";
import type { History, Series } from "../src/data/protocol";
import { join, merge } from "../src/data/series";

function minutes(plays: Record<number, number>): Series {
  const minute = Object.keys(plays).map((m) => Number(m) * 60);
  const nothing = minute.map(() => null);
  return {
    minute,
    plays: Object.values(plays),
    viewers: Object.values(plays),
    startup_p50_ms: nothing,
    startup_p95_ms: nothing,
    stalled_share: nothing,
    start_failure_rate: nothing,
    start_failures: Object.values(plays),
    playback_failure_rate: nothing,
  };
}

const published = (plays: Record<number, number>, cutover: number): History => ({
  publish: { publish_id: "p", published_at: 0, cutover_minute: cutover * 60 },
  minutes: minutes(plays),
});

const window = (from: number, to: number, liveFrom: number | null) => ({
  from: from * 60,
  to: to * 60,
  liveFrom: liveFrom === null ? null : liveFrom * 60,
});

const shown = (rows: ReturnType<typeof join>) => rows.map(({ minute, origin, plays }) => [minute / 60, origin, plays]);

test("history and live meet at the cut-over: no gap, nothing twice", () => {
  // Live still holds minute 2, which has been published meanwhile, with another count.
  const rows = join(published({ 1: 10, 2: 20 }, 3), minutes({ 2: 99, 3: 30, 4: 40 }), window(1, 4, 2));
  assert.deepEqual(shown(rows), [[1, "history", 10], [2, "history", 20], [3, "live", 30], [4, "live", 40]]);
});

test("a minute in which nobody watched is zero, a minute that nobody holds any more is a gap", () => {
  const rows = join(published({ 1: 10 }, 3), minutes({ 6: 60 }), window(1, 7, 5));
  assert.deepEqual(shown(rows), [
    [1, "history", 10], [2, "history", 0], [3, "live", null], [4, "live", null], [5, "live", 0], [6, "live", 60], [7, "live", 0],
  ]);
});

test("without history the line begins with the first live minute", () => {
  assert.deepEqual(shown(join(null, minutes({ 5: 50 }), window(0, 6, 5))), [[5, "live", 50], [6, "live", 0]]);
});

test("an update replaces the minutes that changed and drops those before live", () => {
  const merged = merge(minutes({ 1: 1, 2: 2, 3: 3 }), minutes({ 3: 33, 4: 4 }), 2 * 60);
  assert.deepEqual(merged.minute, [120, 180, 240]);
  assert.deepEqual(merged.plays, [2, 33, 4]);
});
