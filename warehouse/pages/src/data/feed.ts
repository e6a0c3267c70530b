/** The one connection to `/v1/live`: reconnects by itself and hands out whole messages (what changed is merged in). */

import type { Live } from "./protocol";
import { mergeSeconds } from "./seconds";
import { merge } from "./series";

/** A message, or (live null) only a sign that the server is there. */
export interface Arrival {
  readonly live: Live | null;
  readonly serverAt: number;
  /** When it arrived, on this machine's clock. */
  readonly arrivedAt: number;
}

const QUIET_MS = 8_000;
const RETRY_MS = 1_000;

export class Feed {
  #source: EventSource | null = null;
  #last: Arrival | null = null;
  #watchdog: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly url: string,
    private readonly onArrival: (arrival: Arrival) => void,
  ) {}

  /** The last whole message. */
  get last(): Arrival | null {
    return this.#last;
  }

  open(): void {
    this.#source?.close();
    const source = new EventSource(this.url);
    this.#source = source;
    source.onmessage = (event: MessageEvent<string>) => this.#take(JSON.parse(event.data) as Live);
    source.addEventListener("pulse", (event: MessageEvent<string>) => {
      this.#watch(QUIET_MS);
      this.onArrival({ live: null, serverAt: Number(event.data), arrivedAt: Date.now() });
    });
    // A refused connection ends an EventSource for good; a half-open one stays silent for ever. Neither may.
    source.onerror = () => this.#watch(RETRY_MS);
    this.#watch(QUIET_MS);
  }

  close(): void {
    clearTimeout(this.#watchdog);
    this.#source?.close();
    this.#source = null;
  }

  #watch(ms: number): void {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => this.open(), ms);
  }

  #take(live: Live): void {
    this.#watch(QUIET_MS);
    const known = this.#last?.live ?? null;
    const minutes = live.kind === "update" && known ? merge(known.minutes, live.minutes, live.live_from ?? 0) : live.minutes;
    const seconds = live.kind === "update" && known ? mergeSeconds(known.seconds, live.seconds) : live.seconds;
    this.#last = { live: { ...live, kind: "snapshot", minutes, seconds }, serverAt: live.server_at, arrivedAt: Date.now() };
    this.onArrival(this.#last);
  }
}
