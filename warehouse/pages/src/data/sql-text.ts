/**
 * The query that is written: in the address behind #, where it can be linked to, kept, and gone back from.
 *
 * What stands behind # is sent to no server, so that ids in a query get into no log on the way. A link is never run by
 * opening it: the query would count as the reader's, take a place of the few that run at once, and show nothing new.
 */

import { signal } from "@preact/signals";

/** Mail and chat cut longer ones, and a cut query is another one. */
export const LONGEST_LINK = 8_000;
const DRAFT = "sql.draft";
const SAVED = "sql.saved";

const inAddress = (): string | null => new URLSearchParams(location.hash.slice(1)).get("q");

/** The query of the address; null: it has none. */
export const linked = signal(inAddress());
/** Back, forward, or another link. */
for (const event of ["popstate", "hashchange"]) addEventListener(event, () => (linked.value = inAddress()));

export const draft = (): string | null => sessionStorage.getItem(DRAFT);
/** Survives a reload of the page. */
export const keepDraft = (sql: string): void => sessionStorage.setItem(DRAFT, sql);

export const linkTo = (sql: string): string => `${location.origin}/sql#${new URLSearchParams({ q: sql })}`;
export const fits = (sql: string): boolean => linkTo(sql).length <= LONGEST_LINK;

/** Puts the query into the address, as a step to go back from where it is another one. */
export function keepInAddress(sql: string): void {
  if (sql === inAddress()) return;
  history.pushState(null, "", fits(sql) ? linkTo(sql) : location.pathname);
  linked.value = inAddress();
}

export interface Saved {
  readonly name: string;
  readonly sql: string;
}

export const saved = signal<readonly Saved[]>(read());
addEventListener("storage", ({ key }) => key === SAVED && (saved.value = read())); // another tab saved one

export const save = (name: string, sql: string): void => write([...others(name), { name, sql }].sort((a, b) => a.name.localeCompare(b.name)));
export const forget = (name: string): void => write(others(name));
const others = (name: string): Saved[] => saved.value.filter((one) => one.name !== name);

function write(all: readonly Saved[]): void {
  localStorage.setItem(SAVED, JSON.stringify(all));
  saved.value = all;
}

function read(): Saved[] {
  try {
    const told: unknown = JSON.parse(localStorage.getItem(SAVED) ?? "[]");
    return Array.isArray(told) ? told.filter((one: Partial<Saved>) => typeof one?.name === "string" && typeof one.sql === "string") : [];
  } catch {
    return [];
  }
}
