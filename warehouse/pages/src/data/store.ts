/** What the page knows, as signals: everything on screen is derived from these. */

import { computed, effect, signal } from "@preact/signals";
import { ServerClock } from "./clock";
import { freshness } from "./freshness";
import { fetchHistory } from "./history";
import type { History, Live } from "./protocol";
import { RANGES, type Range, fitting, rangeOf } from "./ranges";
import { follow } from "./stream";

export const DAY = 86_400;
/** How far yesterday's line runs ahead of now. */
export const AHEAD = 1_800;

const clock = new ServerClock();
const openedAt = Date.now();

export const live = signal<Live | null>(null);
export const history = signal<History | null>(null);
export const yesterday = signal<History | null>(null);
const chosen = signal<Range | null>(rangeOf(new URL(location.href).searchParams.get("range")));
const heardAt = signal<number | null>(null);
const tick = signal(Date.now());

/** Now on the server's clock, ms; moves twice a second. */
export const now = computed(() => clock.read(tick.value));
/** What the viewer chose, else what there is to see. */
export const range = computed(() => chosen.value ?? fitting(firstMinute.value, now.value / 1_000));
export const fresh = computed(() =>
  freshness({
    now: now.value,
    openedAt: clock.read(openedAt),
    heardAt: heardAt.value,
    liveAt: live.value === null ? undefined : live.value.live_at,
  }),
);

export function start(): void {
  setInterval(() => (tick.value = Date.now()), 500);
  follow(({ live: message, serverAt, arrivedAt }) => {
    clock.observe(serverAt, arrivedAt);
    tick.value = Date.now();
    heardAt.value = serverAt;
    if (message === null) return;
    if (message.page_build !== document.body.dataset.build && mayReload(message.page_build)) location.reload();
    live.value = message;
  });
  effect(() => {
    const hour = Math.floor(now.value / 3_600_000);
    void loadHistory(publishId.value, RANGES[chosen.value ?? "3h"], hour);
  });
}

export function chooseRange(name: Range): void {
  chosen.value = name;
  const address = new URL(location.href);
  address.searchParams.set("range", name);
  window.history.replaceState(null, "", address);
}

const firstMinute = computed(() => history.value?.minutes.minute[0] ?? live.value?.minutes.minute[0] ?? null);
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
