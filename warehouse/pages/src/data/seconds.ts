/** The last hour by second. */

import type { Seconds } from "./protocol";

export const HOUR = 3_600;

/** Up to where an axis shows a second's numbers: a few wild seconds run off its top, and hide no others. */
export function ceiling(...lines: readonly (readonly (number | null)[])[]): number {
  const highest = lines.map((values) => {
    const sorted = values.map((value) => value ?? 0).sort((a, b) => a - b);
    const usual = sorted[Math.floor(sorted.length * 0.99)] ?? 0;
    return Math.min(sorted.at(-1) ?? 0, 5 * Math.max(1, usual));
  });
  return Math.max(0, ...highest);
}

/** `changed` over `known` from its first second on; what is no part of the hour any more goes. */
export function mergeSeconds(known: Seconds | null, changed: Seconds | null): Seconds | null {
  if (known === null || changed === null) return changed;
  const at = changed.first - known.first;
  if (at < 0 || at > known.plays.length) return changed;
  const from = Math.max(0, changed.kept_from - known.first);
  const column = <T>(before: readonly T[], after: readonly T[]) => [...before.slice(0, at), ...after].slice(from);
  return {
    first: known.first + from,
    kept_from: changed.kept_from,
    concurrent: column(known.concurrent, changed.concurrent),
    plays: column(known.plays, changed.plays),
    failures: column(known.failures, changed.failures),
  };
}
