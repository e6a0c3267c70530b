/** The page's address as a signal: what it asks for can be linked to, kept, and gone back from. */

import { computed, signal } from "@preact/signals";

const search = signal(location.search);
addEventListener("popstate", () => (search.value = location.search));

export const address = computed(() => new URLSearchParams(search.value));

/** Goes to other parameters of this page; `replace` leaves no step to go back to. */
export function go(parameters: URLSearchParams, replace = false): void {
  const text = parameters.toString();
  const url = text === "" ? location.pathname : `?${text}`;
  if (replace) history.replaceState(null, "", url);
  else history.pushState(null, "", url);
  search.value = location.search;
}
