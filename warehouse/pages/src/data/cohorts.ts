/** What the page Quality asks. Its address carries the question in the same words as the server's. */

import { type ReadonlySignal, computed } from "@preact/signals";
import { address, go } from "./address";
import type { CohortCatalog } from "./protocol";

export const SPANS = { "15m": 900, "1h": 3_600, "3h": 10_800, "6h": 21_600, "24h": 86_400, "7d": 604_800 } as const;

export interface Filter {
  readonly dimension: string;
  /** Null: unknown. */
  readonly value: string | null;
}

export interface Stretch {
  /** The last so many seconds; 0: from..to, seconds of epoch. */
  readonly span: number;
  readonly from: number;
  readonly to: number;
}

export interface CohortQuestion {
  readonly metric: string;
  readonly by: readonly string[];
  readonly where: readonly Filter[];
  readonly stretch: Stretch;
  /** Smallest sample of a cohort that is ranked. */
  readonly least: number;
}

const FIRST = { metric: "stalled_share", by: ["country", "device_type"], span: SPANS["1h"], least: 20 };
/** In the order in which a cause is commonly looked for. */
const NEXT = ["country", "device_type", "cdn", "app_version", "content_id", "connection_type", "region", "player_version", "error_code"];

export const question: ReadonlySignal<CohortQuestion> = computed(() => {
  const told = address.value;
  const from = Number(told.get("from") ?? 0);
  const to = Number(told.get("to") ?? 0);
  const span = Number(told.get("span") ?? (from < to ? 0 : FIRST.span));
  const by = told.getAll("by").slice(0, 2);
  return {
    metric: told.get("metric") ?? FIRST.metric,
    by: by.length > 0 ? by : FIRST.by,
    where: told.getAll("where").map(filterOf),
    stretch: { span, from, to },
    least: Number(told.get("least") ?? FIRST.least),
  };
});

export function change(part: Partial<CohortQuestion>, replace = false): void {
  go(parametersOf({ ...question.peek(), ...part }), replace);
}

/** Into a cohort: its values are given from now on, and what is not given yet tells its viewers apart. */
export function drill(filters: readonly Filter[]): void {
  const known = question.peek();
  const where = [...known.where.filter(({ dimension }) => !filters.some((one) => one.dimension === dimension)), ...filters];
  const left = NEXT.filter((name) => !where.some(({ dimension }) => dimension === name));
  const kept = known.by.filter((name) => left.includes(name));
  const by = [...kept, ...left.filter((name) => !kept.includes(name))].slice(0, known.by.length);
  change({ where, by: by.length > 0 ? by : left.slice(0, 1) });
}

function filterOf(text: string): Filter {
  const at = text.indexOf(":");
  return at < 0 ? { dimension: text, value: null } : { dimension: text.slice(0, at), value: text.slice(at + 1) };
}

export function parametersOf({ metric, by, where, stretch, least }: CohortQuestion): URLSearchParams {
  const told = new URLSearchParams({ metric });
  for (const name of by) told.append("by", name);
  for (const { dimension, value } of where) told.append("where", value === null ? dimension : `${dimension}:${value}`);
  if (stretch.span > 0) told.set("span", String(stretch.span));
  else for (const end of ["from", "to"] as const) told.set(end, String(stretch[end]));
  told.set("least", String(least));
  return told;
}

/** The server's address for one of the three parts of the page. */
export function urlOf(part: "" | "/trend" | "/sessions", asked: CohortQuestion): string {
  const told = parametersOf(asked);
  if (part !== "") for (const name of ["by", "least"]) told.delete(name);
  return `/v1/dashboard/cohorts${part}?${told}`;
}

export const UNKNOWN = "unknown";
export const valueName = (value: string | null | undefined): string => (value == null || value === "" ? UNKNOWN : value.replaceAll("_", " "));

export function titleOf(catalog: CohortCatalog, dimension: string): string {
  return catalog.dimensions.find(({ name }) => name === dimension)?.title ?? dimension;
}
