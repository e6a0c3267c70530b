/** A session on one time axis: phases and events on top, bitrate and buffer (or position) below them. */

import type { EChartsCoreOption } from "echarts/core";
import type { Line, Phase, SessionView, TimelineEvent } from "../data/protocol";
import { type Figure, count, duration, timeSeconds, together } from "../format";
import { escape } from "./cohort-trend";
import { type Colour, look } from "./look";

/** Colours of the palette, by what the player did. */
export const PHASE_COLOURS: Readonly<Record<Phase["name"], string>> = {
  idle: "line",
  starting: "p50",
  playing: "viewers",
  stalled: "stalled",
  seeking: "failures",
  paused: "line-strong",
  ad: "plays",
  "ad stalled": "p95",
  ended: "line",
};

export const EVENT_KINDS: readonly { readonly name: string; readonly colour: string; readonly types: readonly string[] }[] = [
  { name: "errors", colour: "bad", types: ["error", "ad_error"] },
  { name: "stalls", colour: "stalled", types: ["stall_start", "stall_end"] },
  { name: "start and stop", colour: "fine", types: ["play", "first_frame", "stop"] },
  { name: "viewer", colour: "failures", types: ["pause", "resume", "seek", "rate_change", "background", "foreground"] },
  { name: "bitrate", colour: "p50", types: ["quality_change"] },
  { name: "ads", colour: "plays", types: ["ad_start", "ad_end"] },
  { name: "heartbeats and reports", colour: "muted", types: ["heartbeat", "cmcd", "cmcd_request", "cmcd_event"] },
];
/** From the lowest up. */
const LANES = EVENT_KINDS.map(({ name }) => name).reverse();

export function timelineChart(view: SessionView, chosen: number | null, colour: Colour, rem: number): EChartsCoreOption {
  const style = look(colour, rem);
  const first = Math.min(view.started_at ?? Infinity, ...view.events.map(({ at }) => at));
  const last = Math.max(view.ended_at ?? 0, ...view.events.map(({ at }) => at));
  const pad = Math.max(500, (last - first) * 0.01);
  const hasBuffer = view.buffer.at.length > 0;
  const lower = hasBuffer ? view.buffer : view.position;
  const heights = ["8%", "30%", "22%", "18%"];
  const tops = ["3%", "13%", "48%", "75%"];
  const across = [0, 1, 2, 3].map((grid) => {
    const axis = style.across(0);
    return {
      ...axis,
      gridIndex: grid,
      type: "time" as const,
      min: first - pad,
      max: last + pad,
      axisLabel: { ...axis.axisLabel, show: grid === 3, formatter: "{HH}:{mm}:{ss}" },
    };
  });
  const up = (grid: number, name: string, format: (value: number) => Figure) => {
    const axis = style.up(0, name);
    return { ...axis, gridIndex: grid, splitNumber: 2, min: 0, axisLabel: { ...axis.axisLabel, formatter: (value: number) => together(format(value)) } };
  };
  const lane = { ...style.up(0, ""), gridIndex: 0, min: 0, max: 1, show: false };
  const lanes = { gridIndex: 1, type: "category" as const, data: LANES, axisTick: { show: false }, axisLine: { show: false }, axisLabel: style.text, splitLine: { show: false } };
  const mark = chosen === null ? [] : [{ xAxis: chosen }];
  const pointer = { silent: true, symbol: "none", label: { show: false }, lineStyle: { color: colour("accent"), type: "solid" as const, width: 2 }, data: mark };
  const tinted = (["stalled", "ad stalled", "paused", "seeking", "ad"] as const).flatMap((name) => areas(view.phases, name, colour(PHASE_COLOURS[name]), 0.16));
  const steps = (grid: number, id: string, line: Line, shade: string, step: "end" | false) => ({
    id,
    name: id,
    type: "line",
    xAxisIndex: grid,
    yAxisIndex: grid,
    step,
    showSymbol: line.at.length < 3,
    // A rendition plays on until the player says otherwise, in the end as well.
    data: [...line.at, ...(step && line.at.length > 0 ? [last] : [])].map((at, i) => [at, line.value[i] ?? line.value.at(-1) ?? null]),
    lineStyle: { width: 0.11 * rem, color: colour(shade) },
    itemStyle: { color: colour(shade) },
    markArea: { silent: true, data: tinted },
    markLine: pointer,
  });
  return {
    ...style.option,
    grid: tops.map((top, i) => ({ left: 9.4 * rem, right: 1.4 * rem, top, height: heights[i] })),
    xAxis: across,
    yAxis: [
      lane,
      lanes,
      up(2, "bitrate", (value) => count(value, "kbit/s")),
      up(3, hasBuffer ? "buffer" : "position", (value) => duration(value)),
    ],
    dataZoom: [{ type: "slider", xAxisIndex: [0, 1, 2, 3], bottom: 0, height: 0.9 * rem, showDetail: false, brushSelect: false, borderColor: colour("line") }],
    tooltip: { ...style.tooltip, trigger: "item" as const, formatter: (params: unknown) => tooltip(view, params) },
    series: [
      {
        id: "phases",
        type: "line",
        xAxisIndex: 0,
        yAxisIndex: 0,
        data: [],
        silent: true,
        markArea: { silent: true, data: (Object.keys(PHASE_COLOURS) as Phase["name"][]).flatMap((name) => areas(view.phases, name, colour(PHASE_COLOURS[name]), 0.95)) },
        markLine: pointer,
      },
      {
        id: "events",
        type: "scatter",
        xAxisIndex: 1,
        yAxisIndex: 1,
        symbolSize: 0.5 * rem,
        data: view.events.map((event, i) => ({ value: [event.at, kindOf(event).name, i], itemStyle: { color: colour(kindOf(event).colour) } })),
        markLine: pointer,
      },
      steps(2, "bitrate", view.bitrate, "p50", "end"),
      steps(3, hasBuffer ? "buffer" : "position", lower, "viewers", false),
    ],
  };
}

function areas(phases: readonly Phase[], name: Phase["name"], shade: string, opacity: number): [object, object][] {
  return phases
    .filter((phase) => phase.name === name)
    .map(({ start_at, stop_at }) => [{ xAxis: start_at, itemStyle: { color: shade, opacity } }, { xAxis: stop_at }]);
}

export function kindOf({ event_type }: TimelineEvent): (typeof EVENT_KINDS)[number] {
  return EVENT_KINDS.find(({ types }) => types.includes(event_type)) ?? EVENT_KINDS[EVENT_KINDS.length - 1]!;
}

interface Hovered {
  readonly seriesId?: string;
  readonly value?: readonly [number, unknown, number?];
}

function tooltip(view: SessionView, params: unknown): string {
  const { seriesId, value } = params as Hovered;
  const event = seriesId === "events" ? view.events[value?.[2] ?? -1] : undefined;
  if (event === undefined) return "";
  const rows = [
    ["at", timeSeconds(event.at)],
    ["position", event.position_ms === null ? "" : together(duration(event.position_ms))],
    ["bitrate", event.bitrate_kbps === null ? "" : together(count(event.bitrate_kbps, "kbit/s"))],
    ["then", event.phase],
    ["", event.detail],
  ].filter(([, text]) => text !== "");
  const body = rows.map(([name = "", text = ""]) => `<tr><td>${name}</td><td class="number">${escape(text)}</td></tr>`);
  return `<table class="tip"><caption>${escape(event.event_type.replaceAll("_", " "))}</caption>${body.join("")}</table>`;
}
