/** Dead letters by hour, a colour for each reason. */

import type { EChartsCoreOption } from "echarts/core";
import type { Letters } from "../data/protocol";
import { count, moment, together } from "../format";
import { escape } from "./cohort-trend";
import { type Colour, look } from "./look";
import { SERIES_COLOURS } from "./quick";

const HOUR_MS = 3_600_000;

/** Reasons, the most frequent first; the same one of several topics is one. */
export function reasonsOf({ counts }: Letters): readonly { readonly reason: string; readonly colour: string; readonly hours: readonly number[] }[] {
  const found = new Map<string, number[]>();
  for (const { reason, hours } of counts) found.set(reason, hours.map((letters, i) => letters + (found.get(reason)?.[i] ?? 0)));
  return [...found].map(([reason, hours], i) => ({ reason, hours, colour: SERIES_COLOURS[i % SERIES_COLOURS.length] ?? "muted" }));
}

export function lettersChart(letters: Letters, now: number, colour: Colour, rem: number): EChartsCoreOption {
  const style = look(colour, rem);
  const across = style.across(0);
  const up = style.up(0, "dead letters / h");
  const at = (hour: number): number => letters.first_hour_at + hour * HOUR_MS;
  const reasons = reasonsOf(letters);
  return {
    ...style.option,
    grid: [{ left: 3.4 * rem, right: 1.2 * rem, top: 1.6 * rem, bottom: 1.5 * rem }],
    xAxis: [{ ...across, type: "category", data: reasons[0]?.hours.map((_, i) => moment(at(i), now)) ?? [], axisLabel: { ...across.axisLabel, show: true } }],
    yAxis: [{ ...up, minInterval: 1, splitNumber: 3, axisLabel: { ...up.axisLabel, formatter: (value: number) => together(count(value)) } }],
    tooltip: { ...style.tooltip, formatter: (params: unknown) => tooltip(params) },
    series: reasons.map(({ reason, hours, colour: shade }) => ({
      id: reason,
      name: reason,
      type: "bar",
      stack: "letters",
      data: hours,
      barMaxWidth: 1.4 * rem,
      itemStyle: { color: colour(shade) },
    })),
  };
}

interface Hovered {
  readonly name?: string;
  readonly marker?: string;
  readonly seriesName?: string;
  readonly value?: number;
}

function tooltip(params: unknown): string {
  const hovered = (Array.isArray(params) ? params : [params]) as Hovered[];
  const rows = hovered
    .filter(({ value }) => (value ?? 0) > 0)
    .map(({ marker = "", seriesName = "", value }) => `<tr><td>${marker}${escape(seriesName)}</td><td class="number">${together(count(value ?? 0))}</td></tr>`);
  return `<table class="tip"><caption>${escape(hovered[0]?.name ?? "")}</caption>${rows.join("")}</table>`;
}
