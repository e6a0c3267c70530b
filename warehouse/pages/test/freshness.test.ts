import assert from "node:assert/strict";
import { test } from "node:test";
import { ServerClock } from "../src/data/clock";
import { SILENT_AFTER_MS, STALE_AFTER_MS, freshness } from "../src/data/freshness";

const signs = { now: 100_000, openedAt: 0, heardAt: 99_500, liveAt: 99_000 };

test("numbers are live while their newest stamp is young", () => {
  assert.deepEqual(freshness(signs), { state: "live", ageMs: 1_000 });
});

test("a server that goes on talking over old numbers is stale, since their newest stamp", () => {
  const liveAt = signs.now - STALE_AFTER_MS - 1;
  assert.deepEqual(freshness({ ...signs, liveAt }), { state: "stale", ageMs: STALE_AFTER_MS + 1, since: liveAt });
});

test("silence is told from staleness, whatever the stamps say", () => {
  const heardAt = signs.now - SILENT_AFTER_MS - 1;
  assert.deepEqual(freshness({ ...signs, heardAt }), { state: "down", since: heardAt });
});

test("a page that never heard a word connects, then says so", () => {
  assert.equal(freshness({ now: 1_000, openedAt: 0, heardAt: null, liveAt: undefined }).state, "connecting");
  assert.deepEqual(freshness({ now: 19_000, openedAt: 0, heardAt: null, liveAt: undefined }), { state: "down", since: null });
});

test("a server that is there but slow with its first numbers is not gone", () => {
  assert.equal(freshness({ ...signs, liveAt: undefined }).state, "connecting");
});

test("no event yet is neither old nor broken", () => {
  assert.equal(freshness({ ...signs, liveAt: null }).state, "empty");
});

test("a message that was held up on its way does not turn the server's clock back", () => {
  const clock = new ServerClock();
  clock.observe(50_000, 10_000);
  clock.observe(51_000, 14_000); // three seconds in a queue
  assert.equal(clock.read(15_000), 55_000);
});
