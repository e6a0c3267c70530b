/** Asking the server in SQL, one query at a time: `POST /v1/sql`, killed by its id (warehouse/sql_routes.py). */

import { signal } from "@preact/signals";
import type { Publish } from "./protocol";
import { live } from "./store";

/** The page shows so many rows at most; files have as many as the server gives. */
export const MOST_ROWS = 10_000;

export interface ResultColumn {
  readonly name: string;
  /** Arrow's name of it. */
  readonly type: string;
  readonly unit: string | null;
}

export interface Result {
  readonly columns: readonly ResultColumn[];
  readonly rows: readonly (readonly unknown[])[];
  readonly row_count: number;
  readonly truncated: boolean;
  readonly elapsed_ms: number;
  readonly publish_id: string | null;
}

export interface Failure {
  readonly reason: string;
  readonly message: string;
  /** Character of the query, from 0. */
  readonly position?: number;
}

/** How current the answer is: what was known when it came. */
export interface Freshness {
  readonly publish: Publish | null;
  readonly live_at: number | null;
}

export type Run =
  | { readonly state: "idle" }
  | { readonly state: "running"; readonly sql: string; readonly id: string; readonly since: number; readonly isStopping: boolean }
  | { readonly state: "answered"; readonly sql: string; readonly result: Result; readonly freshness: Freshness }
  | { readonly state: "failed"; readonly sql: string; readonly failure: Failure };

export const current = signal<Run>({ state: "idle" });
let under_way: AbortController | null = null;

export async function run(sql: string): Promise<void> {
  if (current.peek().state === "running") return;
  const id = `page-${crypto.getRandomValues(new Uint32Array(2)).join("-")}`;
  const asking = new AbortController();
  under_way = asking;
  current.value = { state: "running", sql, id, since: Date.now(), isStopping: false };
  try {
    const result = parsed(await post({ sql, query_id: id, max_rows: MOST_ROWS }, asking.signal).then((answer) => answer.text()));
    const message = live.peek();
    const isKnown = message !== null && message.publish.publish_id === result.publish_id;
    current.value = { state: "answered", sql, result, freshness: { publish: isKnown ? message.publish : null, live_at: message?.live_at ?? null } };
  } catch (error) {
    const failure = asking.signal.aborted ? { reason: "cancelled", message: "the query was cancelled" } : failureOf(error);
    current.value = { state: "failed", sql, failure };
  }
}

/** Kills the query's process; where even that gets no answer, hangs up, which kills it too. */
export async function stop(): Promise<void> {
  const running = current.peek();
  if (running.state !== "running") return;
  current.value = { ...running, isStopping: true };
  const asking = under_way;
  const answer = await fetch(`/v1/sql/${running.id}`, { method: "DELETE" }).catch(() => null);
  if (!answer?.ok) asking?.abort();
}

/** The answer of the whole query as a file; whether it was cut. */
export async function download(sql: string, format: "csv" | "parquet"): Promise<boolean> {
  const answer = await post({ sql, format });
  const url = URL.createObjectURL(await answer.blob());
  const stamp = new Date().toISOString().slice(0, 19).replaceAll(":", "");
  Object.assign(document.createElement("a"), { href: url, download: `playlake-${stamp}.${format}` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
  return answer.headers.get("x-playlake-truncated") === "true";
}

class Failed extends Error {
  constructor(readonly failure: Failure) {
    super(failure.message);
  }
}

export const failureOf = (error: unknown): Failure =>
  error instanceof Failed ? error.failure : { reason: "unavailable", message: `the server does not answer (${(error as Error).message})` };

async function post(body: object, signal: AbortSignal | null = null): Promise<Response> {
  const answer = await fetch("/v1/sql", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body), signal });
  if (answer.ok) return answer;
  const told = (await answer.json().catch(() => null)) as { error?: Failure } | null;
  throw new Failed(told?.error ?? { reason: "failed", message: `the server answered ${answer.status}` });
}

/** A long answer that breaks off ends with the reason, and is no JSON. */
function parsed(text: string): Result {
  try {
    return JSON.parse(text) as Result;
  } catch {
    const told = /"error":(\{.*\})\}$/.exec(text)?.[1];
    throw new Failed(told ? (JSON.parse(told) as Failure) : { reason: "failed", message: "the answer broke off before its end" });
  }
}
