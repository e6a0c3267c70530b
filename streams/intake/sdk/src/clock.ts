// Time of the page's events, Unix ms by the device's clock.

/** When an event of the browser came up, which may be some time before its listener gets to run. */
export function timeOf(event?: Event): number {
  const delay = event ? performance.now() - event.timeStamp : 0;
  // Some televisions count an event's time from elsewhere: a delay that can't be is none.
  return Date.now() - (delay > 0 && delay < 60_000 ? delay : 0);
}

export const iso = (ms: number): string => new Date(ms).toISOString();

export function randomId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
