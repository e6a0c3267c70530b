/** A metric of a cohort over time, beside everything's; below it how much the cohort's values are made of. */

import type { EChartsCoreOption } from "echarts/core";
import type { CohortTrend, MeasureOption } from "../data/protocol";
import { type Figure, count, measured, rate, time, together } from "../format";
import { type Colour, look } from "./look";
import { type Point, broken } from "./steps";

export function cohortTrendChart(found: CohortTrend, measure: MeasureOption, name: string, colour: Colour, rem: number): EChartsCoreOption {
  const style = look(colour, rem);
  const hasSample = measure.sample_unit !== null;
  const across = (grid: 0 | 1) => {
    const axis = style.across(grid);
    return {
      ...axis,
      type: "time" as const,
      containShape: false,
      min: found.basis.start_at,
      max: found.basis.stop_at,
      axisLabel: { ...axis.axisLabel, show: grid === 1 || !hasSample, formatter: "{HH}:{mm}" },
    };
  };
  const up = (grid: 0 | 1, title: string, format: (value: number) => Figure, splitNumber: number) => {
    const axis = style.up(grid, title);
    return { ...axis, splitNumber, scale: grid === 0, axisLabel: { ...axis.axisLabel, formatter: (value: number) => together(format(value)) } };
  };
  const line = (id: string, points: Point[], shade: string, width: number) => ({
    id,
    name: id,
    type: "line",
    xAxisIndex: 0,
    yAxisIndex: 0,
    showSymbol: points.length < 3,
    data: points,
    lineStyle: { width: width * rem, color: colour(shade) },
    itemStyle: { color: colour(shade) },
  });
  const cutover = found.basis.publish.cutover_minute;
  const everything = line("everything", broken(found.everything.at, found.everything.value, found.step_s), "viewers", name ? 0.08 : 0.125);
  return {
    ...style.option,
    grid: hasSample ? style.grids(4.4, "38%", "74%") : style.grids(4.4, 1.5 * rem, "100%"),
    xAxis: hasSample ? [across(0), across(1)] : [across(0)],
    yAxis: [up(0, measure.title, (value) => measured(value, measure.unit), 4), ...(hasSample ? [up(1, measure.sample_unit ?? "", (value) => count(value), 2)] : [])],
    tooltip: { ...style.tooltip, formatter: (params: unknown) => tooltip(measure, found.step_s, params) },
    series: [
      {
        ...everything,
        markLine: {
          silent: true,
          symbol: "none",
          label: { show: false },
          lineStyle: { color: colour("muted"), type: "dashed", width: 1 },
          data: cutover !== null && found.basis.source === "minutes" && cutover * 1_000 > found.basis.start_at ? [{ xAxis: cutover * 1_000 }] : [],
        },
      },
      ...(name ? [line(name, broken(found.cohort.at, found.cohort.value, found.step_s), "stalled", 0.125)] : []),
      ...(hasSample
        ? [
            {
              id: "sample",
              name: measure.sample_unit ?? "",
              type: "bar",
              xAxisIndex: 1,
              yAxisIndex: 1,
              barMaxWidth: 0.6 * rem,
              data: found.cohort.at.map((at, i) => [at, found.cohort.sample[i] ?? null]),
              itemStyle: { color: colour("plays"), opacity: 0.8 },
            },
          ]
        : []),
    ],
  };
}

interface Hovered {
  readonly seriesId?: string;
  readonly seriesName?: string;
  readonly marker?: string;
  readonly axisValue?: number;
  readonly value?: readonly [number, number | null];
}

function tooltip(measure: MeasureOption, step_s: number, params: unknown): string {
  const hovered = (Array.isArray(params) ? params : [params]) as Hovered[];
  const at = hovered[0]?.axisValue;
  if (at === undefined) return "";
  const rows = hovered.map(({ seriesId, seriesName = "", marker = "", value }) => {
    const shown = value?.[1] ?? null;
    const figure = seriesId === "sample" ? rate(shown, "") : measured(shown, measure.unit);
    return `<tr><td>${marker}${escape(seriesName)}</td><td class="number">${together(figure)}</td></tr>`;
  });
  return `<table class="tip"><caption>${time(at)} to ${time(at + step_s * 1_000)}</caption>${rows.join("")}</table>`;
}

/** Names of cohorts come from clients. */
export function escape(text: string): string {
  return text.replace(/[&<>"']/g, (letter) => `&#${letter.charCodeAt(0)};`);
}
