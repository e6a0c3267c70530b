/** How fresh the numbers are. Judged in the browser from the stamps in the data: a server that is gone cannot say so. */

export const CONNECTING_FOR_MS = 10_000;
export const SILENT_AFTER_MS = 5_000;
export const STALE_AFTER_MS = 8_000;

export type Freshness =
  | { readonly state: "connecting" }
  /** The server does not answer; `since` (server's clock) is null when it never did. */
  | { readonly state: "down"; readonly since: number | null }
  /** The server answers and has not seen a single event. */
  | { readonly state: "empty" }
  | { readonly state: "stale"; readonly ageMs: number; readonly since: number }
  | { readonly state: "live"; readonly ageMs: number };

export interface Signs {
  /** Now, on the server's clock. */
  readonly now: number;
  /** When the page was opened, on the server's clock. */
  readonly openedAt: number;
  /** When the server was heard from last, on its clock. */
  readonly heardAt: number | null;
  /** Up to when the live numbers are whole: null when there is none, undefined while no message has come. */
  readonly liveAt: number | null | undefined;
}

export function freshness({ now, openedAt, heardAt, liveAt }: Signs): Freshness {
  if (heardAt === null) {
    return now - openedAt > CONNECTING_FOR_MS ? { state: "down", since: null } : { state: "connecting" };
  }
  if (now - heardAt > SILENT_AFTER_MS) return { state: "down", since: heardAt };
  if (liveAt === undefined) return { state: "connecting" };
  if (liveAt === null) return { state: "empty" };
  const ageMs = Math.max(0, now - liveAt);
  return ageMs > STALE_AFTER_MS ? { state: "stale", ageMs, since: liveAt } : { state: "live", ageMs };
}
