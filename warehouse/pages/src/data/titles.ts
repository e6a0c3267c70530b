/** What the page Titles asks: a stretch up to now, and the title that is looked at. */

import { computed } from "@preact/signals";
import { address, go } from "./address";
import { SPANS } from "./cohorts";

export const span = computed(() => Number(address.value.get("span") ?? SPANS["3h"]));
export const titleId = computed(() => address.value.get("id"));

export function ask(part: { readonly span?: number; readonly id?: string }, replace = false): void {
  const told = new URLSearchParams(address.peek());
  for (const [name, value] of Object.entries(part)) told.set(name, String(value));
  go(told, replace);
}

export const listUrl = (): string => `/v1/dashboard/titles?span=${span.value}`;
export const viewUrl = (id: string): string => `/v1/dashboard/titles/${encodeURIComponent(id)}?span=${span.value}`;
