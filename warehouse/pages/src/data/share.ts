/** Shares of small samples. */

const Z = 1.96;

/** Lower end of the interval that holds the share with 95 %, of a share `told` of `count` cases (Wilson 1927). */
export function atLeast(told: number, count: number): number {
  if (count === 0) return 0;
  const share = Math.min(told, 1); // failures of plays that began earlier may outnumber those of the window
  const middle = share + Z ** 2 / (2 * count);
  const width = Z * Math.sqrt((share * (1 - share)) / count + Z ** 2 / (4 * count ** 2));
  return (middle - width) / (1 + Z ** 2 / count);
}
