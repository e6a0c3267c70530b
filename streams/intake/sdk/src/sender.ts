// Brings events to a collector: in batches, again when it has to be, and by a beacon when the page goes.

import { iso, randomId } from "./clock";
import { type Item, Store } from "./store";

const BATCH = 50;
/** Browsers let 64 kB of keepalive requests and beacons be under way together. */
const BATCH_BYTES = 28_000;
const MAX_QUEUED = 1000;
const FLUSH_MS = 1000;
const SOON_MS = 100;
const FIRST_RETRY_MS = 1000;
const LONGEST_RETRY_MS = 60_000;

interface Verdict {
  index: number;
  status: string;
}

export class Sender {
  private queue: Item[] = [];
  private underWay = new Set<Item>();
  /** The page has gone, and nothing came after: some browsers hide it once more then. */
  private isGone = false;
  private limit = BATCH;
  private attempt = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private due = 0;
  private readonly store: Store;

  constructor(private readonly endpoint: string, private readonly key: string | undefined) {
    this.store = new Store(endpoint, randomId());
    this.queue = this.store.adopt(endpoint);
    if (this.queue.length) this.schedule(FLUSH_MS);
    addEventListener("online", () => this.retryNow());
  }

  /** `soon`: a viewer may be gone in a second, and then it is good to know that there was one. */
  push(topic: string, event: Record<string, unknown>, soon = false): void {
    this.queue.push({ topic, event });
    this.isGone = false;
    this.bound();
    if (this.attempt) this.store.save(this.queue);
    else this.schedule(this.queue.length >= BATCH ? 0 : soon ? SOON_MS : FLUSH_MS);
  }

  /** Send what waits, unless a pause after a failure is not over yet. */
  flush(): void {
    if (!this.attempt) this.schedule(0);
  }

  /** The page is hidden, or goes (`last`): hand everything to the browser, which sends it without us. */
  leave(last: boolean): void {
    // A beacon is not answered. While the line is known to be bad, what is stored goes out with the next page.
    if (!this.attempt && navigator.onLine !== false)
      for (let batch = this.next(); batch.length; batch = this.next()) {
        const body = new Blob([bodyOf(batch)], { type: "text/plain" });
        if (!navigator.sendBeacon?.(this.url(batch), body)) break;
        this.remove(batch);
      }
    // What is under way goes on without us, too: its request is a keepalive one.
    this.isGone ||= last;
    this.store.save(this.queue.filter((item) => !this.underWay.has(item)), this.isGone);
  }

  private retryNow(): void {
    this.attempt = 0;
    clearTimeout(this.timer);
    this.timer = undefined;
    this.schedule(0);
  }

  /** Send in so many ms, or sooner if that was said before. */
  private schedule(ms: number): void {
    const due = Date.now() + ms;
    if (this.underWay.size || (this.timer !== undefined && this.due <= due)) return;
    clearTimeout(this.timer);
    this.due = due;
    this.timer = setTimeout(() => {
      this.timer = undefined;
      void this.send();
    }, ms);
  }

  private async send(): Promise<void> {
    const batch = this.next();
    if (this.underWay.size || !batch.length) return;
    this.underWay = new Set(batch);
    const waitMs = await this.post(batch);
    this.underWay.clear();
    if (waitMs === undefined) {
      this.attempt = 0;
      this.store.save(this.queue);
      if (this.queue.length) this.schedule(this.queue.length >= BATCH ? 0 : FLUSH_MS);
      return;
    }
    const most = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** this.attempt);
    this.attempt += 1;
    this.store.save(this.queue);
    // Half of it by chance: a thousand pages that failed together must not come again together.
    this.schedule(1 + Math.max(waitMs, most / 2) + (Math.random() * most) / 2);
  }

  /** One request. Undefined when the batch is settled, else how long the collector wants to be left alone, in ms. */
  private async post(batch: Item[]): Promise<number | undefined> {
    let answer: Response;
    let text: string;
    try {
      answer = await fetch(this.url(batch), { method: "POST", body: bodyOf(batch), keepalive: true, credentials: "omit" });
      text = await answer.text();
    } catch {
      return 0;
    }
    const again = answer.status === 429 || answer.status >= 500;
    const verdicts = again || answer.ok ? verdictsOf(text) : undefined;
    if (verdicts) {
      const unknown = new Set(verdicts.filter(({ status }) => status === "unknown").map(({ index }) => index));
      this.remove(batch.filter((_, index) => !unknown.has(index)));
      const refused = verdicts.filter(({ status }) => status === "rejected");
      if (refused.length) console.warn("playlake: rejected", refused);
      return unknown.size ? retryAfter(answer) : undefined;
    }
    if (again) return retryAfter(answer);
    if (answer.status === 413 && batch.length > 1) {
      // Too much at once: the smaller half is tried by itself.
      this.limit = Math.max(1, batch.length >> 1);
      return undefined;
    }
    if (!answer.ok) console.warn(`playlake: ${batch.length} events refused with ${answer.status}`, text.slice(0, 200));
    this.remove(batch);
    return undefined;
  }

  /** The next events of one topic that are not under way, as many as one request should carry. */
  private next(): Item[] {
    const waiting = this.queue.filter((item) => !this.underWay.has(item));
    const topic = waiting[0]?.topic;
    const batch: Item[] = [];
    let bytes = 0;
    for (const item of waiting) {
      if (item.topic !== topic) continue;
      bytes += JSON.stringify(item.event).length * 1.1 + 40;
      if (batch.length && (batch.length >= this.limit || bytes > BATCH_BYTES)) break;
      batch.push(item);
    }
    return batch;
  }

  private remove(batch: Item[]): void {
    const gone = new Set(batch);
    this.queue = this.queue.filter((item) => !gone.has(item));
  }

  /** Of too many the oldest signs of life go first, then the oldest of all; gaps in `seq` tell that they are missing. */
  private bound(): void {
    while (this.queue.length > MAX_QUEUED) {
      const least = this.queue.findIndex(({ event }) => event.eventType === "heartbeat");
      this.queue.splice(Math.max(0, least), 1);
    }
  }

  private url(batch: Item[]): string {
    const query = new URLSearchParams({ topic: batch[0]!.topic, ...(this.key ? { key: this.key } : {}) });
    return `${this.endpoint}/v1/events?${query}`;
  }
}

function bodyOf(batch: Item[]): string {
  const sentAt = iso(Date.now());
  return `[${batch.map(({ event }) => JSON.stringify({ ...event, sentAt })).join(",\n")}]`;
}

function verdictsOf(text: string): Verdict[] | undefined {
  try {
    const { events } = JSON.parse(text) as { events?: Verdict[] };
    return Array.isArray(events) ? events : undefined;
  } catch {
    return undefined;
  }
}

function retryAfter(answer: Response): number {
  const text = answer.headers.get("retry-after") ?? "";
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return ms > 0 ? Math.min(ms, 600_000) : 0;
}
