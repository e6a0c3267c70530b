/** Published minutes, asked for by interval (seconds of epoch); the server keeps the answers by publish. */

import type { History } from "./protocol";

export async function fetchHistory(from: number, to: number): Promise<History> {
  const answer = await fetch(`/v1/dashboard/history?from=${from}&to=${to}`);
  if (!answer.ok) throw new Error(`history from ${from} to ${to}: the server answered ${answer.status}`);
  return (await answer.json()) as History;
}
