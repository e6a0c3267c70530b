/** The last hour of one measure, without axes. */

import type { EChartsCoreOption } from "echarts/core";
import type { Measure, Row } from "../data/series";
import { rem } from "../theme";
import type { Colour } from "./look";

export function spark(rows: readonly Row[], measure: Measure, name: string, colour: Colour, now: number): EChartsCoreOption {
  const done = rows.filter((row) => (row.minute + 90) * 1_000 <= now);
  return {
    grid: { left: 0, right: 0, top: 3, bottom: 1 },
    xAxis: { type: "time", show: false, min: now - 3_600_000, max: now },
    yAxis: { type: "value", show: false, scale: true },
    series: [
      {
        type: "line",
        silent: true,
        showSymbol: false,
        connectNulls: true,
        data: done.map((row) => [row.minute * 1_000, row[measure]]),
        lineStyle: { width: 0.1 * rem(), color: colour(name) },
        areaStyle: { color: colour(name), opacity: 0.15, origin: "start" },
      },
    ],
  };
}
