/** A chart of an answer in SQL: what it would sensibly show, and the points of what was chosen. */

import type { Result } from "./sql-run";
import { type Kind, kindOf, momentOf, numberOf } from "./values";

export const KINDS = ["line", "bar", "points"] as const;

/** Columns by their places. */
export interface Choice {
  readonly kind: (typeof KINDS)[number];
  readonly x: number;
  readonly y: number;
  /** What tells lines apart; null: one line. */
  readonly by: number | null;
}

export interface Points {
  readonly name: string;
  readonly data: readonly (readonly [x: number | string, y: number | null])[];
}

export const MOST_SERIES = 10;
export const MOST_CATEGORIES = 60;

/** Time goes into a line, names into bars, two numbers into points; null where there is nothing to draw. */
export function guess({ columns, rows }: Result): Choice | null {
  const kinds = columns.map(({ type }) => kindOf(type));
  const of = (kind: Kind): number[] => kinds.flatMap((one, place) => (one === kind ? [place] : []));
  const numbers = of("number");
  const names = of("text").filter((place) => rows.some((row) => row[place] !== null));
  const x = of("time")[0] ?? names[0] ?? (numbers.length > 1 ? numbers[0] : undefined);
  const y = numbers.find((place) => place !== x);
  if (x === undefined || y === undefined || rows.length === 0) return null;
  const isRepeated = new Set(rows.map((row) => row[x])).size < rows.length;
  const by = isRepeated ? (names.find((place) => place !== x && distinct(rows, place) <= MOST_SERIES) ?? null) : null;
  return { kind: kinds[x] === "time" ? "line" : kinds[x] === "text" ? "bar" : "points", x, y, by };
}

/** The points by series, the largest series first; `left_out` counts the series that would be too many. */
export function pointsOf({ columns, rows }: Result, { kind, x, y, by }: Choice): { readonly series: readonly Points[]; readonly left_out: number } {
  const kindOfX = kindOf(columns[x]?.type ?? "");
  const across = (value: unknown): number | string | null => {
    if (kindOfX === "time") return momentOf(value);
    return kindOfX === "number" && kind !== "bar" ? numberOf(value) : value === null ? "null" : String(value);
  };
  const found = new Map<string, [number | string, number | null][]>();
  for (const row of rows) {
    const at = across(row[x]);
    if (at === null) continue;
    const name = by === null ? (columns[y]?.name ?? "") : row[by] === null ? "null" : String(row[by]);
    const data = found.get(name) ?? [];
    data.push([at, numberOf(row[y])]);
    found.set(name, data);
  }
  const size = (data: readonly [unknown, number | null][]): number => data.reduce((sum, [, value]) => sum + Math.abs(value ?? 0), 0);
  const all = [...found].map(([name, data]) => ({ name, data, size: size(data) })).sort((a, b) => b.size - a.size);
  for (const { data } of all) if (typeof data[0]?.[0] === "number") data.sort(([a], [b]) => (a as number) - (b as number));
  return { series: all.slice(0, MOST_SERIES), left_out: Math.max(0, all.length - MOST_SERIES) };
}

const distinct = (rows: Result["rows"], place: number): number => new Set(rows.map((row) => row[place])).size;
