/** The last comparisons of live with batch: the share of equal rows above, the events by cause of difference below. */

import type { EChartsCoreOption } from "echarts/core";
import type { ParityPoint } from "../data/protocol";
import { count, share, time, together } from "../format";
import { type Colour, look } from "./look";

/** Colours of the palette, by the causes of schemas/parity.py. */
export const CAUSE_COLOURS: Readonly<Record<string, string>> = {
  late: "p95",
  duplicate: "p50",
  split: "failures",
  reopened: "plays",
  order: "viewers",
  "not live yet": "stalled",
  "still open": "muted",
};

export function trendChart(points: readonly ParityPoint[], colour: Colour, rem: number): EChartsCoreOption {
  const style = look(colour, rem);
  const causes = Object.keys(CAUSE_COLOURS).filter((cause) => points.some((point) => amount(point, cause) !== 0));
  const category = (grid: 0 | 1) => {
    const axis = style.across(grid);
    return {
      ...axis,
      type: "category" as const,
      data: points.map((point) => time(point.compared_at)),
      axisLine: { ...axis.axisLine, onZero: false },
    };
  };
  const value = (grid: 0 | 1, name: string, formatter: (value: number) => string) => {
    const axis = style.up(grid, name);
    return { ...axis, splitNumber: 3, axisLabel: { ...axis.axisLabel, formatter } };
  };
  return {
    ...style.option,
    grid: style.grids(4, "62%", "58%"),
    xAxis: [category(0), category(1)],
    yAxis: [
      { ...value(0, "rows equal", (v) => together(share(v))), min: 0, max: 1, interval: 0.5 },
      value(1, "events", (v) => together(count(v))),
    ],
    tooltip: { ...style.tooltip, formatter: (params: unknown) => tooltip(points, causes, params) },
    series: [
      {
        id: "equal",
        type: "line",
        xAxisIndex: 0,
        yAxisIndex: 0,
        symbolSize: 0.3 * rem,
        data: points.map((point) => (point.whole_rows === 0 ? null : point.whole_rows_equal / point.whole_rows)),
        itemStyle: { color: colour("fine") },
        lineStyle: { width: 0.125 * rem, color: colour("fine") },
        areaStyle: { color: colour("fine"), opacity: 0.12 },
        // A number that nothing explains is marked, however equal the rows are.
        markLine: {
          silent: true,
          symbol: "none",
          label: { show: false },
          lineStyle: { color: colour("bad"), type: "solid", width: 2 },
          data: points.flatMap((point, i) => (point.unexplained > 0 ? [{ xAxis: i }] : [])),
        },
      },
      ...causes.map((cause) => ({
        id: cause,
        type: "bar",
        stack: "causes",
        xAxisIndex: 1,
        yAxisIndex: 1,
        barMaxWidth: 1.2 * rem,
        data: points.map((point) => amount(point, cause)),
        itemStyle: { color: colour(CAUSE_COLOURS[cause] ?? "muted") },
      })),
    ],
  };
}

function amount(point: ParityPoint, cause: string): number {
  return point.causes.find((one) => one.cause === cause)?.amount ?? 0;
}

interface Hovered {
  readonly dataIndex?: number;
}

function tooltip(points: readonly ParityPoint[], causes: readonly string[], params: unknown): string {
  const [first] = (Array.isArray(params) ? params : [params]) as Hovered[];
  const point = points[first?.dataIndex ?? -1];
  if (point === undefined) return "";
  const row = (name: string, figure: string) => `<tr><td>${name}</td><td class="number">${figure}</td></tr>`;
  const said = causes.filter((cause) => amount(point, cause) !== 0).map((cause) => row(cause, together(count(amount(point, cause), "events"))));
  const equal = row("rows equal", `${together(count(point.whole_rows_equal))} of ${together(count(point.whole_rows))}`);
  const unexplained = row("unexplained", together(count(point.unexplained)));
  return `<table class="tip"><caption>${time(point.compared_at)}</caption>${equal}${unexplained}${said.join("")}</table>`;
}
