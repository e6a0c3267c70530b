/** When a question is asked again: after a publish, and while numbers move and the page is seen, every few seconds. */

import { live, now } from "./store";

/** Live minutes. */
const MINUTES_MS = 5_000;

export const publishId = (): string | null => live.value?.publish.publish_id ?? null;

export function beat(isMoving = true, everyMs = MINUTES_MS): string {
  return `${publishId()} ${isMoving && !document.hidden ? Math.floor(now.value / everyMs) : ""}`;
}
