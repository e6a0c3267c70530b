/** The last hour by second. */

import type { Seconds } from "./protocol";

export const HOUR = 3_600;

/** Up to where an axis shows a second's numbers: a single wild second runs off its top, and hides no other. */
export function ceiling(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const usual = sorted[Math.floor(sorted.length * 0.99)] ?? 0;
  return Math.min(sorted.at(-1) ?? 0, 3 * Math.max(1, usual));
}

/** `changed` over `known` from its first second on; an hour is kept. */
export function mergeSeconds(known: Seconds | null, changed: Seconds | null): Seconds | null {
  if (known === null || changed === null) return changed;
  const at = changed.first - known.first;
  if (at < 0 || at > known.plays.length) return changed;
  const from = Math.max(0, at + changed.plays.length - HOUR);
  const column = <T>(before: readonly T[], after: readonly T[]) => [...before.slice(0, at), ...after].slice(from);
  return {
    first: known.first + from,
    concurrent: column(known.concurrent, changed.concurrent),
    plays: column(known.plays, changed.plays),
    failures: column(known.failures, changed.failures),
  };
}
