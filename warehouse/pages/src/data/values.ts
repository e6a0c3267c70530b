/** Values of an answer in SQL: what kind a column is of, and how a value reads. */

import type { Figure } from "../format";

export type Kind = "time" | "number" | "text" | "nested";

/** By Arrow's name of the type. */
export function kindOf(type: string): Kind {
  if (/^(timestamp|date)/.test(type)) return "time";
  if (/^(u?int|half|float|double|decimal)/.test(type)) return "number";
  return /^(list|large_list|fixed_size_list|struct|map)/.test(type) ? "nested" : "text";
}

/** A number to sort and draw by; integers beyond 2^53 and decimals come as text. */
export function numberOf(value: unknown): number | null {
  if (value === null || value === undefined) return null;
  const number = Number(value);
  return Number.isFinite(number) ? number : null;
}

/** Ms of epoch; stamps without a zone are UTC, as the server's clock is. */
export function momentOf(value: unknown): number | null {
  if (typeof value !== "string") return null;
  const at = Date.parse(/T/.test(value) && !/(Z|[+-]\d\d:?\d\d)$/.test(value) ? `${value}Z` : value);
  return Number.isNaN(at) ? null : at;
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const SHORT = 1e-4;

/** What the cell shows: digits grouped, stamps without their letters, null said. */
export function shown(value: unknown, kind: Kind, unit: string): Figure {
  if (value === null || value === undefined) return { text: "null", unit: "" };
  if (kind === "number") return { text: digits(value), unit };
  if (kind === "time") return stamp(String(value));
  return { text: kind === "nested" ? JSON.stringify(value) : String(value), unit: "" };
}

function digits(value: unknown): string {
  if (typeof value === "string") return value.replace(/^(-?)(\d+)/, (_, sign: string, int: string) => sign + whole.format(BigInt(int)));
  const number = value as number;
  if (Number.isInteger(number)) return whole.format(number);
  const size = Math.abs(number);
  return size < SHORT ? number.toExponential(3) : number.toLocaleString("en", { maximumFractionDigits: size < 1 ? 6 : size < 1_000 ? 4 : 1 });
}

function stamp(text: string): Figure {
  const [day = "", clock] = text.replace(/Z$/, "").split("T");
  return { text: clock === undefined ? day : `${day} ${clock.replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "")}`, unit: text.endsWith("Z") ? "UTC" : "" };
}

/** What stands beside a number: stamps and counts say it themselves, and of "share, 0..1" the first word is enough. */
export function shortUnit(unit: string | null): string {
  const [short = ""] = (unit ?? "").split(/[,(]/);
  return ["UTC", "UTC day", "count", "true or false"].includes(short.trim()) ? "" : short.trim();
}
