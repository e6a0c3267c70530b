/** What the page Pipeline derives from the server's answer: topics out of partitions, and what needs a look. */

import type { PartitionFlow, PipelineView, Process } from "./protocol";

export interface TopicFlow {
  readonly topic: string;
  readonly partitions: readonly PartitionFlow[];
  readonly end: number;
  readonly sink_lag: number | null;
  readonly worker_lag: number | null;
  readonly in_per_s: number | null;
  readonly sink_per_s: number | null;
  readonly worker_per_s: number | null;
}

type Summed = "end" | "sink_lag" | "worker_lag" | "in_per_s" | "sink_per_s" | "worker_per_s";

/** Over what is known; null where nothing is. */
export function total(partitions: readonly PartitionFlow[], name: Summed): number | null {
  const told = partitions.map((one) => one[name]).filter((value) => value !== null);
  return told.length === 0 ? null : told.reduce((sum, value) => sum + value, 0);
}

export function topicsOf(partitions: readonly PartitionFlow[]): readonly TopicFlow[] {
  const found = new Map<string, PartitionFlow[]>();
  for (const one of partitions) found.set(one.topic, [...(found.get(one.topic) ?? []), one]);
  return [...found].map(([topic, own]) => ({
    topic,
    partitions: own,
    end: total(own, "end") ?? 0,
    sink_lag: total(own, "sink_lag"),
    worker_lag: total(own, "worker_lag"),
    in_per_s: total(own, "in_per_s"),
    sink_per_s: total(own, "sink_per_s"),
    worker_per_s: total(own, "worker_per_s"),
  }));
}

/** How long the reader needs for what it has not read yet, s; null where its speed is not known. */
export const behind = (lag: number | null, perS: number | null): number | null => (lag === null || !perS ? null : lag / perS);

export const unwell = (processes: readonly Process[]): readonly Process[] => processes.filter((one) => !one.is_well);

/** Whether Airflow's pages can be opened; null: nobody here knows, as where each part is a service of its own. */
export function hasAirflow({ processes }: PipelineView): boolean | null {
  const server = processes.find(({ name }) => name === "airflow-api-server");
  return server === undefined ? (processes.length === 0 ? null : false) : server.is_well;
}

const UNITS = ["B", "kB", "MB", "GB", "TB"];

/** In powers of a thousand. */
export function bytes(value: number | null): { readonly text: string; readonly unit: string } {
  if (value === null) return { text: "–", unit: "" };
  const power = Math.min(UNITS.length - 1, Math.floor(Math.log10(Math.max(1, value)) / 3));
  const shown = value / 1_000 ** power;
  return { text: power === 0 || shown >= 100 ? shown.toFixed(0) : shown.toFixed(1), unit: UNITS[power] ?? "" };
}
