/** Numbers as text, each with its unit. The browser only formats: what a number means is defined by the server's SQL. */

export interface Figure {
  readonly text: string;
  readonly unit: string;
}

export const NOTHING = "–";

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat("en", { maximumFractionDigits: 4 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 4 });

export function count(value: number | null | undefined, unit = ""): Figure {
  if (value == null) return { text: NOTHING, unit: "" };
  return { text: Math.abs(value) < 1e6 ? whole.format(value) : short.format(value), unit };
}

/** One decimal below ten, so that a trickle does not read as nothing. */
export function rate(value: number | null | undefined, unit: string): Figure {
  if (value == null) return { text: NOTHING, unit: "" };
  return value > 0 && value < 10 ? { text: value.toFixed(1), unit } : count(value, unit);
}

/** How often something comes: two decimals below one. */
export function speed(value: number | null | undefined, unit: string): Figure {
  if (value == null || value === 0 || value >= 1) return rate(value, unit);
  return { text: value.toFixed(2), unit };
}

export function millis(value: number | null | undefined): Figure {
  if (value == null) return { text: NOTHING, unit: "" };
  return value < 1_000 ? { text: whole.format(value), unit: "ms" } : { text: (value / 1_000).toFixed(2), unit: "s" };
}

export function share(value: number | null | undefined): Figure {
  if (value == null) return { text: NOTHING, unit: "" };
  const percent = value * 100;
  return { text: percent.toFixed(percent < 10 ? 2 : 1), unit: "%" };
}

/** A length of time, from ms to days' worth of hours. */
export function duration(value: number | null | undefined): Figure {
  if (value == null || Math.abs(value) < 100_000) return millis(value);
  const minutes = value / 60_000;
  return minutes < 100 ? { text: minutes.toFixed(1), unit: "min" } : rate(minutes / 60, "h");
}

/** A metric's value by the unit of its definition. */
export function measured(value: number | null | undefined, unit: string): Figure {
  if (value == null) return { text: NOTHING, unit: "" };
  if (unit.startsWith("share")) return share(value);
  if (unit === "ms" || unit.startsWith("ms ")) return duration(value);
  if (unit.startsWith("points")) return { text: value.toFixed(1), unit: "points" };
  const short = unit.split(/[,(]/)[0]?.trim() ?? "";
  if (Number.isInteger(value) || Math.abs(value) >= 100) return count(value, short);
  return { text: value.toFixed(Math.abs(value) < 1 ? 3 : 2), unit: short };
}

/** All digits that two sides are compared by, in the unit of the metric's definition (shares in percent). */
export function exact(value: number | null | undefined, unit: string): Figure {
  if (value == null) return { text: NOTHING, unit: "" };
  if (unit.startsWith("share")) return { text: (value * 100).toFixed(3), unit: "%" };
  const [short = ""] = unit.split(",");
  return { text: (Number.isInteger(value) ? whole : fine).format(value), unit: short };
}

/** The same with its sign; nothing has none. */
export function signed(value: number | null | undefined, unit: string): Figure {
  if (value == null) return { text: NOTHING, unit: "" };
  if (value === 0) return { text: "0", unit: "" };
  const { text, unit: short } = exact(Math.abs(value), unit);
  return { text: (value > 0 ? "+" : "\u2212") + text, unit: short };
}

export function age(ms: number): string {
  const seconds = Math.max(0, ms) / 1_000;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3_600)} h`;
  return `${Math.floor(seconds / 86_400)} days`;
}

export function together({ text, unit }: Figure): string {
  return unit === "" ? text : `${text}\u202f${unit}`;
}

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const clockSeconds = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

export const time = (ms: number): string => clock.format(ms);
export const timeSeconds = (ms: number): string => clockSeconds.format(ms);

const dayAndClock = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

/** With the day where it is not today's. */
export const moment = (ms: number, now: number): string =>
  new Date(ms).toDateString() === new Date(now).toDateString() ? time(ms) : dayAndClock.format(ms);
