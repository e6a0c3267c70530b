/** What both big charts have in common: two grids over one time axis, history and live told apart at the cut-over. */

import type { EChartsCoreOption } from "echarts/core";
import { type Figure, NOTHING, time as clockOf, timeSeconds, together } from "../format";
import type { Row } from "../data/series";
import { DAY } from "../data/store";
import { type Colour, look } from "./look";
import type { Point } from "./steps";

export interface Frame {
  readonly rows: readonly Row[];
  readonly before: readonly Row[];
  /** First and last moment shown, ms. */
  readonly from: number;
  readonly to: number;
  readonly now: number;
  readonly cutover: number | null;
  readonly colour: Colour;
  readonly rem: number;
}

export interface Grid {
  readonly name: string;
  readonly format: (value: number) => Figure;
  /** The axis reaches so far at least. */
  readonly max?: number;
  /** And no further than this. */
  readonly ceiling?: number;
  readonly minInterval?: number;
}

export interface Line {
  readonly grid: 0 | 1;
  readonly name: string;
  readonly series: Record<string, unknown>;
  readonly format: (value: number | null) => Figure;
}

export const points = (rows: readonly Row[], pick: (row: Row) => number | null): Point[] =>
  rows.map((row) => [row.minute * 1_000, pick(row)]);

/** Yesterday's minutes, moved to today. */
export const shifted = (rows: readonly Row[], pick: (row: Row) => number | null): Point[] =>
  rows.map((row) => [(row.minute + DAY) * 1_000, pick(row)]);

export function option(frame: Frame, grids: readonly [Grid, Grid], lines: readonly Line[]): EChartsCoreOption {
  const { colour, rem } = frame;
  const style = look(colour, rem);
  const up = (index: 0 | 1) => {
    const { name, format, minInterval = 0, max = 0, ceiling = Infinity } = grids[index];
    const axis = style.up(index, name);
    return {
      ...axis,
      splitNumber: index === 0 ? 4 : 2,
      min: 0,
      minInterval,
      max: (range: { max: number }) => Math.max(Math.min(range.max, ceiling) * 1.08, max) || null,
      axisLabel: { ...axis.axisLabel, showMaxLabel: false, formatter: (value: number) => together(format(value)) },
    };
  };
  const time = (index: 0 | 1) => {
    const axis = style.across(index);
    return {
      ...axis,
      type: "time" as const,
      containShape: false, // bars may not widen one axis: both grids show the same minutes one above the other
      min: frame.from,
      max: frame.to,
      splitNumber: 6,
      axisLabel: { ...axis.axisLabel, formatter: "{HH}:{mm}" },
    };
  };
  return {
    ...style.option,
    grid: style.grids(3.4, "37%", "73%"),
    xAxis: [time(0), time(1)],
    yAxis: [up(0), up(1)],
    tooltip: { ...style.tooltip, formatter: (params: unknown) => tooltip(frame, lines, params) },
    series: [...background(frame), ...lines.map(({ grid, name, series }) => place(grid, { id: name, name, ...series }))],
  };
}

function place(grid: 0 | 1, series: Record<string, unknown>): Record<string, unknown> {
  return { xAxisIndex: grid, yAxisIndex: grid, showSymbol: false, ...series };
}

/** Tints the live part of both grids and names both sides of the cut-over. */
function background({ rows, cutover, from, to, colour, rem, now }: Frame): Record<string, unknown>[] {
  const edge = Math.max(cutover ?? from, from);
  const liveFrom = Math.max(edge, (rows[0]?.minute ?? 0) * 1_000);
  const label = { show: true, position: "insideTop" as const, distance: 4, color: colour("muted"), fontSize: 0.68 * rem };
  const side = (name: string, start: number, end: number, shade: string, named: boolean) => [
    { xAxis: start, name, itemStyle: { color: shade }, label: { ...label, show: named && wide(start, end) } },
    { xAxis: end },
  ];
  const wide = (start: number, end: number) => end - start > (to - from) * 0.07;
  return ([0, 1] as const).map((grid) =>
    place(grid, {
      id: `background ${grid}`,
      type: "line",
      data: [],
      silent: true,
      tooltip: { show: false },
      markArea: {
        silent: true,
        data: [
          ...(edge > from ? [side("history, audited", from, edge, "transparent", grid === 0)] : []),
          side("live", liveFrom, Math.min(now, to), colour("live-tint"), grid === 0),
        ],
      },
      markLine: {
        silent: true,
        symbol: "none",
        label: { show: false },
        data: edge > from ? [{ xAxis: edge, lineStyle: { color: colour("muted"), type: "dashed", width: 1 } }] : [],
      },
    }),
  );
}

interface Hovered {
  readonly seriesId?: string;
  readonly marker?: string;
  readonly axisValue?: number;
  readonly value?: unknown;
}

function tooltip(frame: Frame, lines: readonly Line[], params: unknown): string {
  const hovered = (Array.isArray(params) ? params : [params]) as Hovered[];
  const at = hovered[0]?.axisValue;
  if (at === undefined) return "";
  const origin = frame.cutover !== null && at < frame.cutover ? "history, audited" : "live";
  const shown = lines.flatMap((line) => {
    const hit = hovered.find(({ seriesId }) => seriesId === line.name);
    if (!hit) return [];
    const value = Array.isArray(hit.value) ? (hit.value[1] as number | null) : null;
    const figure = value === null ? NOTHING : together(line.format(value));
    return [`<tr><td>${hit.marker ?? ""}${line.name}</td><td class="number">${figure}</td></tr>`];
  });
  const clock = at % 60_000 === 0 ? clockOf(at) : timeSeconds(at);
  return `<table class="tip"><caption>${clock} · ${origin}</caption>${shown.join("")}</table>`;
}
