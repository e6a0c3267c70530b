/** The stretches of time that the page offers, in seconds. */

export const RANGES = { "15m": 900, "1h": 3_600, "3h": 10_800, "6h": 21_600, "24h": 86_400 } as const;
export type Range = keyof typeof RANGES;

/** Shown unless the viewer chooses: as much as there is, so that a young service does not look like an empty one. */
const WIDEST: Range = "3h";

/** The narrowest range that holds everything since `first` (seconds of epoch, null when nothing is known). */
export function fitting(first: number | null, now: number): Range {
  const upToWidest = (Object.keys(RANGES) as Range[]).filter((name) => RANGES[name] <= RANGES[WIDEST]);
  return upToWidest.find((name) => first !== null && now - first <= RANGES[name]) ?? WIDEST;
}

export function rangeOf(text: string | null): Range | null {
  return text !== null && Object.hasOwn(RANGES, text) ? (text as Range) : null;
}
