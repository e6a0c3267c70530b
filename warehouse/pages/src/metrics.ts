/** How each metric is shown: name, unit, colour, and from where on it needs a look. */

import { type Figure, count, millis, share, speed } from "./format";
import type { Measure } from "./data/series";
import type { Tile } from "./data/protocol";

export interface Look {
  readonly label: string;
  readonly hint: string;
  readonly format: (value: number | null | undefined) => Figure;
  readonly colour: string;
  /** The column of the minute series behind it. */
  readonly measure: Measure;
  readonly warn?: number;
  readonly bad?: number;
}

export const LOOKS: Record<Tile["metric"], Look> = {
  concurrent_viewers: {
    label: "Watching now",
    hint: "sessions playing or stalled, heard from in the last 60 s",
    format: (value) => count(value, value === 1 ? "viewer" : "viewers"),
    colour: "viewers",
    measure: "viewers",
  },
  attempts_per_second: {
    label: "Plays",
    hint: "viewers who ask for playback",
    format: (value) => speed(value, "/ s"),
    colour: "plays",
    measure: "plays",
  },
  startup_p50_ms: {
    label: "Startup, median",
    hint: "from play to first frame",
    format: millis,
    colour: "p50",
    measure: "startup_p50_ms",
    warn: 2_000,
    bad: 4_000,
  },
  startup_p95_ms: {
    label: "Startup, p95",
    hint: "one start in twenty takes longer",
    format: millis,
    colour: "p95",
    measure: "startup_p95_ms",
    warn: 5_000,
    bad: 10_000,
  },
  stalled_share: {
    label: "Stalled",
    hint: "share of watched time spent waiting for data",
    format: share,
    colour: "stalled",
    measure: "stalled_share",
    warn: 0.01,
    bad: 0.03,
  },
  start_failure_rate: {
    label: "Start failures",
    hint: "share of plays that ended in an error before the first frame",
    format: share,
    colour: "failures",
    measure: "start_failure_rate",
    warn: 0.01,
    bad: 0.03,
  },
  playback_failure_rate: {
    label: "Playback failures",
    hint: "share of plays that an error ended after the first frame",
    format: share,
    colour: "failures",
    measure: "playback_failure_rate",
    warn: 0.01,
    bad: 0.03,
  },
};

/** Fewer plays than this say little, and are drawn pale. */
export const FEW = 20;

export type Level = "fine" | "warn" | "bad";

export function level(look: Look, value: number | null): Level {
  if (value === null) return "fine";
  if (look.bad !== undefined && value >= look.bad) return "bad";
  return look.warn !== undefined && value >= look.warn ? "warn" : "fine";
}
