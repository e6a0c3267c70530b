/** Concurrent viewers above, plays a minute below. */

import type { EChartsCoreOption } from "echarts/core";
import { count, rate } from "../format";
import { type Frame, option, points, shifted } from "./frame";

/** A session's time is known when its next heartbeat comes: younger minutes are still filling and would dip. */
const SETTLED_MS = 90_000;

export function viewersChart(frame: Frame, watchingNow: number | null): EChartsCoreOption {
  const { rows, before, colour, now, rem } = frame;
  const settled = rows.filter((row) => row.minute * 1_000 + SETTLED_MS <= now);
  const viewers = points(settled, (row) => row.viewers);
  const tip = watchingNow === null ? [] : [[now, watchingNow] as const];
  const minute = Math.floor(now / 60_000) * 60;
  return option(
    frame,
    [
      { name: "viewers", format: (value) => count(value), minInterval: 1, max: 4 },
      { name: "plays / min", format: (value) => count(value), minInterval: 1, max: 2 },
    ],
    [
      {
        grid: 0,
        name: "Viewers",
        format: (value) => rate(value, "viewers"),
        series: {
          type: "line",
          data: [...viewers, ...tip],
          z: 3,
          lineStyle: { width: 0.125 * rem, color: colour("viewers") },
          itemStyle: { color: colour("viewers") },
          areaStyle: { color: colour("viewers"), opacity: 0.14 },
        },
      },
      {
        grid: 0,
        name: "Yesterday",
        format: (value) => rate(value, "viewers"),
        series: {
          type: "line",
          data: shifted(before, (row) => row.viewers),
          lineStyle: { width: 0.08 * rem, type: "dashed", color: colour("muted") },
          itemStyle: { color: colour("muted") },
        },
      },
      {
        grid: 1,
        name: "Plays",
        format: (value) => count(value, "/ min"),
        series: {
          type: "bar",
          // The bar of a minute stands in its middle; the minute that is still filling is drawn lighter.
          data: rows.map((row) => ({
            value: [row.minute * 1_000, row.plays],
            itemStyle: { color: colour("plays"), opacity: row.minute >= minute ? 0.35 : 0.9 },
          })),
          itemStyle: { color: colour("plays") },
          barMaxWidth: 0.5 * rem,
          barCategoryGap: "25%",
        },
      },
      {
        grid: 0,
        name: "Now",
        format: (value) => count(value, "viewers"),
        series: {
          type: "scatter",
          data: tip,
          z: 4,
          symbolSize: 0.55 * rem,
          itemStyle: { color: colour("viewers"), borderColor: colour("panel"), borderWidth: 2 },
        },
      },
    ],
  );
}
