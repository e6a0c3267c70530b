/** Which session the page Session is about: `?id=`; `?find=` searches by session id or user id. */

import { computed } from "@preact/signals";
import { address, go } from "./address";

export const sessionId = computed(() => address.value.get("id"));
export const wanted = computed(() => address.value.get("find") ?? "");
/** The event that is looked at. */
export const chosenEvent = computed(() => address.value.get("event"));

export const search = (text: string): void => go(new URLSearchParams({ find: text }));

export function open(id: string): void {
  const told = new URLSearchParams({ id });
  if (wanted.peek() !== "") told.set("find", wanted.peek());
  go(told);
}

export function choose(eventId: string): void {
  const told = new URLSearchParams(address.peek());
  told.set("event", eventId);
  go(told, true);
}
