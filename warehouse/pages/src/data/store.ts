/** What the page knows, as signals: everything on screen is derived from these. */

import { computed, effect, signal } from "@preact/signals";
import { ServerClock } from "./clock";
import { freshness } from "./freshness";
import { fetchHistory } from "./history";
import type { History, Live } from "./protocol";
import { follow } from "./stream";

export const RANGES = { "1h": 3_600, "3h": 10_800, "6h": 21_600, "24h": 86_400 } as const;
export type Range = keyof typeof RANGES;
export const DAY = 86_400;
/** How far yesterday's line runs ahead of now. */
export const AHEAD = 1_800;

const clock = new ServerClock();
const openedAt = Date.now();

export const live = signal<Live | null>(null);
export const history = signal<History | null>(null);
export const yesterday = signal<History | null>(null);
export const range = signal<Range>(rangeFromAddress());
const tick = signal(Date.now());

/** Now on the server's clock, ms; moves twice a second. */
export const now = computed(() => clock.read(tick.value));
export const fresh = computed(() =>
  freshness({
    now: now.value,
    openedAt: clock.read(openedAt),
    heardAt: live.value?.server_at ?? null,
    liveAt: live.value?.live_at ?? null,
  }),
);

export function start(): void {
  setInterval(() => (tick.value = Date.now()), 500);
  follow(({ live: message, arrivedAt }) => {
    if (message.page_build !== document.body.dataset.build && mayReload(message.page_build)) location.reload();
    clock.observe(message.server_at, arrivedAt);
    tick.value = Date.now();
    live.value = message;
  });
  effect(() => {
    const hour = Math.floor(now.value / 3_600_000);
    void loadHistory(publishId.value, RANGES[range.value], hour);
  });
}

export function chooseRange(chosen: Range): void {
  range.value = chosen;
  const address = new URL(location.href);
  address.searchParams.set("range", chosen);
  window.history.replaceState(null, "", address);
}

const publishId = computed(() => live.value?.publish.publish_id ?? null);
let asked = "";

/** Published minutes change only with a publish; yesterday's line is extended every hour. */
async function loadHistory(publish: string | null, seconds: number, hour: number): Promise<void> {
  const question = `${publish} ${seconds} ${hour}`;
  if (publish === null || question === asked) return;
  asked = question;
  const to = Math.floor(now.peek() / 60_000) * 60 + 60;
  try {
    const [today, before] = await Promise.all([
      fetchHistory(to - seconds - 3_600, to),
      fetchHistory(to - seconds - DAY, to - DAY + 3_600 + AHEAD),
    ]);
    if (question !== asked) return; // a newer question overtook this one
    history.value = today;
    yesterday.value = before;
  } catch (error) {
    console.warn("history:", error);
    setTimeout(() => question === asked && ((asked = ""), void loadHistory(publish, seconds, hour)), 3_000);
  }
}

/** Once for each build, so that a cached page cannot reload for ever. */
function mayReload(build: string): boolean {
  if (sessionStorage.getItem("reloaded-for") === build) return false;
  sessionStorage.setItem("reloaded-for", build);
  return true;
}

function rangeFromAddress(): Range {
  const wanted = new URL(location.href).searchParams.get("range");
  return wanted !== null && wanted in RANGES ? (wanted as Range) : "3h";
}
