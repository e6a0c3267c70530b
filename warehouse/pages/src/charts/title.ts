/** A title's audience over time, and the share of its plays that gets to each hundredth of its length. */

import type { EChartsCoreOption } from "echarts/core";
import type { Retention, TitleView } from "../data/protocol";
import { type Figure, count, rate, share, time, together } from "../format";
import { type Colour, look } from "./look";
import { type Point, broken } from "./steps";

type Shown = (at: number, values: readonly (number | null)[]) => readonly [string, readonly (readonly [string, Figure])[]];

/** Two grids one above the other, the upper one a line, the lower one bars. */
function both(
  colour: Colour,
  rem: number,
  axis: Record<string, unknown>,
  upper: { readonly name: string; readonly data: readonly Point[]; readonly format: (value: number) => Figure; readonly colour: string; readonly max?: number; readonly step?: "end" },
  lower: { readonly name: string; readonly data: readonly Point[]; readonly colour: string },
  shown: Shown,
): EChartsCoreOption {
  const style = look(colour, rem);
  const across = (grid: 0 | 1) => {
    const known = style.across(grid);
    return { ...known, ...axis, axisLabel: { ...known.axisLabel, ...(axis.axisLabel as object) } };
  };
  const up = (grid: 0 | 1, name: string, format: (value: number) => Figure) => {
    const known = style.up(grid, name);
    return { ...known, min: 0, axisLine: { show: false }, axisTick: { show: false }, splitNumber: grid === 0 ? 4 : 2, axisLabel: { ...known.axisLabel, formatter: (value: number) => together(format(value)) } };
  };
  return {
    ...style.option,
    grid: style.grids(4, "40%", "71%"),
    xAxis: [across(0), across(1)],
    yAxis: [{ ...up(0, upper.name, upper.format), ...(upper.max === undefined ? {} : { max: upper.max, interval: upper.max / 4 }) }, up(1, lower.name, (value) => count(value))],
    tooltip: {
      ...style.tooltip,
      formatter: (params: unknown) => {
        const hovered = (Array.isArray(params) ? params : [params]) as { axisValue?: number; value?: readonly [number, number] }[];
        const at = hovered[0]?.axisValue;
        if (at === undefined) return "";
        const pick = (data: readonly Point[]) => data.find(([x]) => x === hovered[0]?.value?.[0])?.[1] ?? null;
        const [caption, rows] = shown(hovered[0]?.value?.[0] ?? at, [pick(upper.data), pick(lower.data)]);
        return `<table class="tip"><caption>${caption}</caption>${rows.map(([name, figure]) => `<tr><td>${name}</td><td class="number">${together(figure)}</td></tr>`).join("")}</table>`;
      },
    },
    series: [
      {
        id: upper.name,
        type: "line",
        xAxisIndex: 0,
        yAxisIndex: 0,
        showSymbol: upper.data.length < 3,
        data: upper.data,
        lineStyle: { width: 0.125 * rem, color: colour(upper.colour) },
        itemStyle: { color: colour(upper.colour) },
        areaStyle: { color: colour(upper.colour), opacity: 0.14 },
      },
      { id: lower.name, type: "bar", xAxisIndex: 1, yAxisIndex: 1, data: lower.data, itemStyle: { color: colour(lower.colour) }, barMaxWidth: 0.6 * rem },
    ],
  };
}

export function audienceChart(view: TitleView, colour: Colour, rem: number): EChartsCoreOption {
  const { at, viewers, plays } = view.audience;
  return both(
    colour,
    rem,
    { type: "time", containShape: false, min: view.start_at, max: view.stop_at, axisLabel: { formatter: "{HH}:{mm}" } },
    { name: "viewers", data: broken(at, viewers, view.step_s), format: (value) => rate(value, ""), colour: "viewers" },
    { name: "plays", data: broken(at, plays, view.step_s), colour: "plays" },
    (x, [watching = null, begun = null]) => [`${time(x)} to ${time(x + view.step_s * 1_000)}`, [["viewers", rate(watching, "")], ["plays", count(begun)]]],
  );
}

export function retentionChart(kept: Retention, colour: Colour, rem: number): EChartsCoreOption {
  return both(
    colour,
    rem,
    { type: "value", min: 0, max: 100, containShape: false, axisLabel: { formatter: "{value} %" } },
    { name: "plays that got there", data: kept.reached.map((value, place) => [place, value] as const), format: share, colour: "viewers", max: 1 },
    { name: "plays that ended there", data: kept.left.map((value, place) => [place, value] as const), colour: "stalled" },
    (place, [reached = null, left = null]) => [`${place} % of its length`, [["got there", share(reached)], ["ended there", count(left, "plays")]]],
  );
}
