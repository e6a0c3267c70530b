/** Points of a line over steps of time. */

export type Point = readonly [at_ms: number, value: number | null];

/** A stretch of which nothing is known breaks the line. */
export function broken(at: readonly number[], values: readonly (number | null)[], step_s: number): Point[] {
  const found: Point[] = [];
  at.forEach((moment, i) => {
    const before = at[i - 1];
    if (before !== undefined && moment - before > step_s * 1_000) found.push([before + step_s * 1_000, null]);
    found.push([moment, values[i] ?? null]);
  });
  return found;
}
