/** What the last hour adds up to, and its last second. */

import { HOUR } from "../data/seconds";
import type { Seconds } from "../data/protocol";
import { age, count } from "../format";
import { Number } from "./figure";

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

export function LastHour({ seconds }: { readonly seconds: Seconds }) {
  const { plays, failures } = seconds;
  const length = plays.length < HOUR ? age(plays.length * 1_000) : "hour";
  const second = plays.at(-1);
  return (
    <small>
      last {length} <Number id="hour.plays" value={sum(plays)} figure={count(sum(plays), "plays")} />,{" "}
      <Number id="hour.failures" value={sum(failures)} figure={count(sum(failures), "failures")} /> · last second{" "}
      <Number id="second.plays" value={second} figure={count(second, "plays")} />
    </small>
  );
}
