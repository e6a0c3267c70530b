import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { Sender } from "../src/sender";

interface Sent {
  url: string;
  events: Record<string, unknown>[];
}

const sent: Sent[] = [];
const beacons: string[] = [];
const stored = new Map<string, string>();
const listeners = new Map<string, () => void>();
let answers: (() => Response | Promise<Response>)[] = [];
let beaconTakes = true;

const verdicts = (...statuses: string[]) =>
  new Response(JSON.stringify({ events: statuses.map((status, index) => ({ index, status })) }));
const accepted = () => new Response(JSON.stringify({ events: [] }));
const tick = async (ms: number) => {
  mock.timers.tick(ms);
  for (let i = 0; i < 20; i += 1) await Promise.resolve();
};
const ids = (of: Sent | undefined) => of?.events.map(({ eventId }) => eventId);

beforeEach(() => {
  mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_800_000_000_000 });
  mock.method(Math, "random", () => 0.5);
  mock.method(console, "warn", () => undefined);
  sent.length = beacons.length = 0;
  stored.clear();
  answers = [];
  beaconTakes = true;
  const storage = new Proxy(
    { getItem: (key: string) => stored.get(key) ?? null, setItem: (key: string, text: string) => void stored.set(key, text), removeItem: (key: string) => void stored.delete(key) },
    { ownKeys: () => [...stored.keys()], getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true }) },
  );
  const navigator = { onLine: true, sendBeacon: (url: string) => (beacons.push(url), beaconTakes) };
  const globals = {
    localStorage: storage,
    navigator,
    addEventListener: (name: string, listener: () => void) => listeners.set(name, listener),
    fetch: async (url: string, { body }: { body: string }) => {
      sent.push({ url, events: JSON.parse(body) });
      return (answers.shift() ?? accepted)();
    },
  };
  for (const [name, value] of Object.entries(globals)) Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
});
afterEach(() => {
  mock.timers.reset();
  mock.restoreAll();
});

const sender = (...eventIds: string[]) => {
  const made = new Sender("http://c", "public");
  for (const eventId of eventIds) made.push("user.ui.events", { eventType: "click", eventId });
  return made;
};

test("a batch a second, with the topic, the write key and the time of sending", async () => {
  sender("a", "b");
  await tick(999);
  assert.equal(sent.length, 0);
  await tick(1);
  assert.deepEqual(ids(sent[0]), ["a", "b"]);
  assert.equal(sent[0]?.url, "http://c/v1/events?topic=user.ui.events&key=public");
  assert.equal(sent[0]?.events[0]?.sentAt, "2027-01-15T08:00:01.000Z");
  await tick(60_000);
  assert.equal(sent.length, 1);
});

test("only what is unknown goes again; what was rejected does not", async () => {
  answers = [() => verdicts("accepted", "rejected", "unknown", "duplicate")];
  sender("a", "b", "c", "d");
  await tick(1000);
  await tick(2000);
  assert.deepEqual(sent.map(ids), [["a", "b", "c", "d"], ["c"]]);
});

test("a collector that asks for time gets it; pauses double with each failure", async () => {
  const failing = () => new Response("", { status: 503 });
  answers = [() => new Response("", { status: 429, headers: { "retry-after": "7" } }), failing, failing];
  sender("a");
  await tick(1000);
  const times: number[] = [];
  for (let ms = 0, seen = 1; ms < 20_000; ms += 50) {
    await tick(50);
    if (sent.length > seen) times.push(ms + 50);
    seen = sent.length;
  }
  assert.equal(sent.length, 4);
  assert.ok(times[0]! >= 7000 && times[0]! < 8000, `Retry-After was 7 s, it came after ${times[0]} ms`);
  const pauses = [times[1]! - times[0]!, times[2]! - times[1]!];
  assert.ok(pauses[1]! > 1.8 * pauses[0]!, `expected longer pauses, got ${pauses}`);
  assert.deepEqual([...stored.keys()], [], "nothing is left in storage");
});

test("too large a batch is halved until it fits, and a batch nobody wants is dropped", async () => {
  const large = () => new Response("", { status: 413 });
  answers = [large, large, accepted, accepted, () => new Response("no such key", { status: 403 })];
  sender("a", "b", "c", "d");
  for (let i = 0; i < 8; i += 1) await tick(1000);
  assert.deepEqual(sent.map(ids), [["a", "b", "c", "d"], ["a", "b"], ["a"], ["b"], ["c"], ["d"]]);
});

test("offline they are kept in storage, at most as many as there is room for, heartbeats first to go", async () => {
  answers = Array.from({ length: 50 }, () => () => Promise.reject(new TypeError("offline")));
  const made = sender("first");
  made.push("t", { eventType: "heartbeat", eventId: "beat" });
  await tick(1000);
  for (let i = 0; i < 998; i += 1) made.push("t", { eventType: "click", eventId: `${i}` });
  const held = () => JSON.parse([...stored.values()][0]!).items.map(({ event }: { event: { eventId: string } }) => event.eventId);
  assert.equal(held().length, 1000);
  made.push("t", { eventType: "click", eventId: "one more" });
  assert.equal(held().length, 1000);
  assert.ok(held().includes("first") && !held().includes("beat"));
  answers = [];
  listeners.get("online")!();
  for (let i = 0; i < 40; i += 1) await tick(1000);
  assert.equal(stored.size, 0);
  assert.equal(new Set(sent.flatMap(ids)).size, 1000);
});

test("a page that goes uses a beacon, and storage where the browser takes none; the next page sends what is stored", async () => {
  sender("a").leave(true);
  assert.equal(beacons.length, 1);
  assert.equal(stored.size, 0);
  beaconTakes = false;
  sender("b").leave(true);
  assert.equal(stored.size, 1);
  mock.timers.reset(); // and with the page its timers are gone
  mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_800_000_000_000 });
  new Sender("http://other", undefined);
  await tick(1000);
  assert.equal(sent.length, 0, "what belongs to another collector stays");
  new Sender("http://c", "public");
  await tick(1000);
  assert.deepEqual(ids(sent[0]), ["b"]);
  assert.equal(stored.size, 0);
});
