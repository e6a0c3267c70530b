/** Startup time (median and p95) above, the share of watched time spent stalled below. */

import type { EChartsCoreOption } from "echarts/core";
import { millis, share } from "../format";
import { DAY } from "../data/store";
import { LOOKS } from "../metrics";
import { type Frame, option, points, shifted } from "./frame";

export function startupChart(frame: Frame): EChartsCoreOption {
  const { rows, before, colour, now, rem } = frame;
  const line = (name: string) => ({
    type: "line",
    z: 3,
    lineStyle: { width: 0.125 * rem, color: colour(name) },
    itemStyle: { color: colour(name) },
  });
  const limit = (at: number | undefined) => ({
    silent: true,
    symbol: "none",
    label: { show: false },
    lineStyle: { color: colour("warn"), type: "dotted", width: 0.08 * rem },
    data: at === undefined ? [] : [{ yAxis: at }],
  });
  // The first startups of a running minute are too few for a quantile.
  const done = rows.filter((row) => (row.minute + 60) * 1_000 <= now);
  return option(
    frame,
    [
      { name: "startup", format: millis, max: 1_000 },
      { name: "stalled", format: (value) => ({ text: String(Math.round(value * 1_000) / 10), unit: "%" }), max: 0.012 },
    ],
    [
      {
        grid: 0,
        name: "Startup p95",
        format: millis,
        series: {
          ...line("p95"),
          data: points(done, (row) => row.startup_p95_ms),
          markLine: limit(LOOKS.startup_p95_ms.warn),
        },
      },
      {
        grid: 0,
        name: "Startup median",
        format: millis,
        series: { ...line("p50"), data: points(done, (row) => row.startup_p50_ms) },
      },
      {
        grid: 0,
        name: "Yesterday p95",
        format: millis,
        series: {
          type: "line",
          // Over a whole day two noisy lines on top of each other tell nothing.
          data: frame.to - frame.from > DAY * 1_000 ? [] : shifted(before, (row) => row.startup_p95_ms),
          lineStyle: { width: 0.08 * rem, type: "dashed", color: colour("muted") },
          itemStyle: { color: colour("muted") },
        },
      },
      {
        grid: 1,
        name: "Stalled",
        format: share,
        series: {
          ...line("stalled"),
          data: points(done, (row) => row.stalled_share),
          areaStyle: { color: colour("stalled"), opacity: 0.16 },
          markLine: limit(LOOKS.stalled_share.warn),
        },
      },
    ],
  );
}
