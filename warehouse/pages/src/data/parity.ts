/** The comparison of live with batch; the server keeps it until the next one. */

import type { Parity } from "./protocol";

export async function fetchParity(): Promise<Parity> {
  const answer = await fetch("/v1/dashboard/parity");
  if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
  return (await answer.json()) as Parity;
}
