/** A chart of any answer in SQL: one grid, lines, bars or points. */

import type { EChartsCoreOption } from "echarts/core";
import type { Choice, Points } from "../data/quick";
import { type Figure, together } from "../format";
import { escape } from "./cohort-trend";
import { type Colour, look } from "./look";

/** Told apart by the colour-blind, too, in this order. */
export const SERIES_COLOURS = ["viewers", "p95", "plays", "p50", "stalled", "failures", "fine", "warn", "accent", "muted"] as const;

interface Axes {
  readonly x: string;
  readonly y: string;
  readonly kindOfX: "time" | "value" | "category";
  readonly format: (value: number) => Figure;
}

export function quickChart(series: readonly Points[], { kind }: Choice, axes: Axes, colour: Colour, rem: number): EChartsCoreOption {
  const style = look(colour, rem);
  const across = style.across(0);
  const up = style.up(0, axes.y);
  const names = [...new Set(series.flatMap(({ data }) => data.map(([x]) => String(x))))];
  return {
    ...style.option,
    grid: [{ left: 5 * rem, right: 1.4 * rem, top: 1.8 * rem, bottom: 2.4 * rem }],
    xAxis: [
      {
        ...across,
        type: axes.kindOfX,
        name: axes.x,
        nameLocation: "middle",
        nameGap: 1.6 * rem,
        nameTextStyle: style.text,
        ...(axes.kindOfX === "category" ? { data: names } : { scale: true, containShape: false }),
        axisLabel: { ...across.axisLabel, show: true },
      },
    ],
    yAxis: [{ ...up, scale: kind === "points", axisLabel: { ...up.axisLabel, formatter: (value: number) => together(axes.format(value)) } }],
    tooltip: { ...style.tooltip, trigger: kind === "points" ? ("item" as const) : ("axis" as const), formatter: (params: unknown) => tooltip(axes, params) },
    series: series.map(({ name, data }, i) => {
      const shade = colour(SERIES_COLOURS[i % SERIES_COLOURS.length] ?? "viewers");
      return {
        id: `${i}`,
        name,
        type: kind === "points" ? "scatter" : kind,
        data,
        symbolSize: kind === "points" ? 0.5 * rem : 0.3 * rem,
        showSymbol: data.length < 40,
        barMaxWidth: 2 * rem,
        lineStyle: { width: 0.125 * rem, color: shade },
        itemStyle: { color: shade },
      };
    }),
  };
}

interface Hovered {
  readonly marker?: string;
  readonly seriesName?: string;
  readonly value?: readonly [number | string, number | null];
}

function tooltip({ kindOfX, format }: Axes, params: unknown): string {
  const hovered = (Array.isArray(params) ? params : [params]) as Hovered[];
  const x = hovered[0]?.value?.[0];
  if (x === undefined) return "";
  const caption = kindOfX === "time" ? new Date(x).toLocaleString("en-GB") : String(x);
  const rows = hovered.map(({ marker = "", seriesName = "", value }) => {
    const y = value?.[1] ?? null;
    return `<tr><td>${marker}${escape(seriesName)}</td><td class="number">${y === null ? "null" : together(format(y))}</td></tr>`;
  });
  return `<table class="tip"><caption>${escape(caption)}</caption>${rows.join("")}</table>`;
}
