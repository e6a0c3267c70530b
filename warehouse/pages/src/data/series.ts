/** Minutes of history and live as one line of rows, joined at the cut-over minute: history before it, live from it on. */

import type { History, Series } from "./protocol";

export const MINUTE = 60;

export interface Row {
  readonly minute: number;
  readonly origin: "history" | "live";
  readonly viewers: number | null;
  readonly plays: number | null;
  readonly startup_p50_ms: number | null;
  readonly startup_p95_ms: number | null;
  readonly stalled_share: number | null;
  readonly start_failure_rate: number | null;
  readonly start_failures: number | null;
  readonly playback_failure_rate: number | null;
}

export type Measure = Exclude<keyof Row, "minute" | "origin">;

const MEASURES: readonly Measure[] = [
  "viewers",
  "plays",
  "startup_p50_ms",
  "startup_p95_ms",
  "stalled_share",
  "start_failure_rate",
  "start_failures",
  "playback_failure_rate",
];
const COUNTS: ReadonlySet<Measure> = new Set(["viewers", "plays", "start_failures"]);

export function rows(series: Series, origin: Row["origin"]): Row[] {
  return series.minute.map((minute, i) => {
    const values = Object.fromEntries(MEASURES.map((name) => [name, series[name][i] ?? null]));
    return { minute, origin, ...(values as Record<Measure, number | null>) };
  });
}

/** `changed` over `known`, oldest first; minutes before `from` are dropped. */
export function merge(known: Series, changed: Series, from: number): Series {
  const place = new Map<number, readonly [Series, number]>();
  for (const series of [known, changed]) series.minute.forEach((minute, i) => place.set(minute, [series, i]));
  const kept = [...place.entries()].filter(([minute]) => minute >= from).sort(([a], [b]) => a - b);
  const column = (name: Measure) => kept.map(([, [series, i]]) => series[name][i] ?? null);
  const columns = Object.fromEntries(MEASURES.map((name) => [name, column(name)]));
  return { minute: kept.map(([minute]) => minute), ...columns } as unknown as Series;
}

export interface Window {
  /** First and last minute shown. */
  readonly from: number;
  readonly to: number;
  /** First minute of which live holds everything, null when it holds nothing. */
  readonly liveFrom: number | null;
}

/**
 * Every minute of the window that is known, in order. A minute without rows had no viewers (counts are 0, the rest is
 * null); one between history and what live still holds is not known, and stays away as a visible gap.
 */
export function join(history: History | null, live: Series, window: Window): Row[] {
  const cutover = history?.publish.cutover_minute ?? null;
  const past = history === null ? [] : rows(history.minutes, "history").filter((row) => cutover === null || row.minute < cutover);
  const fresh = rows(live, "live").filter((row) => cutover === null || row.minute >= cutover);
  const known = new Map([...past, ...fresh].map((row) => [row.minute, row]));
  const first = Math.min(...known.keys());
  const joined: Row[] = [];
  for (let minute = Math.max(window.from, first); minute <= window.to; minute += MINUTE) {
    const row = known.get(minute);
    const isHistory = cutover !== null && minute < cutover;
    if (row) joined.push(row);
    else if (isHistory || (window.liveFrom !== null && minute >= window.liveFrom)) joined.push(quiet(minute, isHistory));
    else joined.push({ ...quiet(minute, false), viewers: null, plays: null, start_failures: null });
  }
  return joined;
}

function quiet(minute: number, isHistory: boolean): Row {
  const values = Object.fromEntries(MEASURES.map((name) => [name, COUNTS.has(name) ? 0 : null]));
  return { minute, origin: isHistory ? "history" : "live", ...(values as Record<Measure, number | null>) };
}
