/** Concurrent viewers above, plays and failures a second below: the last hour as it came in. */

import type { EChartsCoreOption } from "echarts/core";
import type { Seconds } from "../data/protocol";
import { ceiling } from "../data/seconds";
import { count, rate, speed } from "../format";
import { type Frame, option, points, shifted } from "./frame";
import type { Point } from "./steps";

const MINUTE = 60;

/** Before the first second that is known the frame's minutes are shown, as what they were a second on average. */
export function secondsChart(frame: Frame, seconds: Seconds): EChartsCoreOption {
  const { before, colour, cutover, rem } = frame;
  const line = (name: string, width = 0.1) => ({
    type: "line",
    lineStyle: { width: width * rem, color: colour(name) },
    itemStyle: { color: colour(name) },
  });
  const older = frame.rows.filter((row) => row.minute + MINUTE <= seconds.first);
  const end = older.at(-1);
  const unknown = end === undefined ? 0 : seconds.first - end.minute - MINUTE;
  const gap = Array.from({ length: unknown }, (_, i): Point => [(seconds.first - unknown + i) * 1_000, null]);
  const over = (values: readonly (number | null)[]): Point[] =>
    values.map((value, i): Point => [(seconds.first + i) * 1_000, value]).filter(([at]) => at >= frame.from);
  const plays = over(seconds.plays);
  const failures = over(seconds.failures);
  const viewers = [...points(older, (row) => row.viewers), ...gap, ...over(seconds.concurrent)];
  const last = viewers.at(-1);
  return option(
    // Seconds are live ones, also where minutes have been published meanwhile.
    { ...frame, cutover: cutover === null ? null : Math.min(cutover, seconds.first * 1_000) },
    [
      { name: "viewers", format: (value) => count(value), minInterval: 1, max: 4 },
      { name: "a second", format: (value) => speed(value, ""), max: 1, ceiling: ceiling(plays.map(([, value]) => value), failures.map(([, value]) => value)) },
    ],
    [
      {
        grid: 0,
        name: "Viewers",
        format: (value) => rate(value, "viewers"),
        series: { ...line("viewers", 0.125), data: viewers, z: 3, areaStyle: { color: colour("viewers"), opacity: 0.14 } },
      },
      {
        grid: 0,
        name: "Yesterday",
        format: (value) => rate(value, "viewers"),
        series: {
          ...line("muted", 0.08),
          data: shifted(before, (row) => row.viewers),
          lineStyle: { width: 0.08 * rem, type: "dashed", color: colour("muted") },
        },
      },
      {
        grid: 1,
        name: "Plays",
        format: (value) => speed(value, "/ s"),
        series: {
          ...line("plays"),
          data: [...points(older, (row) => (row.plays === null ? null : row.plays / MINUTE)), ...gap, ...plays],
          sampling: "average", // an hour has more seconds than the chart has pixels
          areaStyle: { color: colour("plays"), opacity: 0.3 },
        },
      },
      {
        grid: 1,
        name: "Failures",
        format: (value) => speed(value, "/ s"),
        series: { ...line("failures"), data: failures, sampling: "average", z: 3 },
      },
      {
        grid: 0,
        name: "Now",
        format: (value) => count(value, "viewers"),
        series: {
          type: "scatter",
          data: last ? [last] : [],
          z: 4,
          symbolSize: 0.55 * rem,
          itemStyle: { color: colour("viewers"), borderColor: colour("panel"), borderWidth: 2 },
        },
      },
    ],
  );
}
