/** Parity: live numbers beside the published ones, by how much they differ, and why. */

import { useEffect, useMemo, useState } from "preact/hooks";
import { Chart } from "../charts/chart";
import { CAUSE_COLOURS, trendChart } from "../charts/parity";
import { fetchParity } from "../data/parity";
import type { Parity as Comparison, ParityState } from "../data/protocol";
import { live, now } from "../data/store";
import { Command } from "../parts/command";
import { Number } from "../parts/figure";
import { ParityMetrics } from "../parts/parity-metrics";
import { ParityParts } from "../parts/parity-parts";
import { ParityRows } from "../parts/parity-rows";
import { age, count, share, time } from "../format";
import { palette, rem } from "../theme";

const SOON_MS = 3_000;

export function Parity() {
  const [found, setFound] = useState<Comparison | null>(null);
  const [problem, setProblem] = useState("");
  const [attempt, setAttempt] = useState(0);
  const newest = live.value?.pipeline.parity?.compared_at ?? null;
  useEffect(() => {
    let retry: ReturnType<typeof setTimeout> | undefined;
    fetchParity().then(
      (answer) => (setFound(answer), setProblem("")),
      (error: Error) => {
        setProblem(error.message);
        retry = setTimeout(() => setAttempt(attempt + 1), SOON_MS);
      },
    );
    return () => clearTimeout(retry);
  }, [newest, attempt]);
  return (
    <main class="parity" data-testid="parity">
      {problem && (
        <p class="banner" role="alert">
          The comparison cannot be read: {problem}. The page tries again by itself.
        </p>
      )}
      {found === null && !problem && <p class="note" role="status">Reading the last comparison.</p>}
      {found && (found.state === null ? <None /> : <Shown found={found} state={found.state} />)}
    </main>
  );
}

function None() {
  return (
    <section class="first-event" data-testid="no-parity">
      <h1>Nothing was compared yet</h1>
      <p>After every publish Airflow compares what live said with what batch found. To do it now:</p>
      <Command text="playlake parity" />
    </section>
  );
}

function Shown({ found, state }: { readonly found: Comparison; readonly state: ParityState }) {
  const colour = palette.value;
  const trend = useMemo(() => trendChart(found.trend, colour, rem()), [found, colour]);
  const equal = state.whole_rows === 0 ? null : state.whole_rows_equal / state.whole_rows;
  const used = found.causes.filter(({ cause }) => found.trend.some((point) => point.causes.some((one) => one.cause === cause)));
  return (
    <>
      <div class="tiles">
        <section class="tile">
          <h2>
            Rows equal <small>before the cut-over</small>
          </h2>
          <Number id="share_equal" value={equal} figure={share(equal)} class="big" />
          <p>
            <Number id="whole_rows_equal" value={state.whole_rows_equal} figure={count(state.whole_rows_equal)} /> of{" "}
            <Number id="whole_rows" value={state.whole_rows} figure={count(state.whole_rows)} />, by minute and dimensions; in all{" "}
            <Number id="rows_equal" value={state.rows_equal} figure={count(state.rows_equal)} /> of{" "}
            <Number id="rows" value={state.rows} figure={count(state.rows)} />
          </p>
        </section>
        <section class={state.unexplained > 0 ? "tile bad" : "tile"}>
          <h2>Unexplained values</h2>
          <Number id="unexplained" value={state.unexplained} figure={count(state.unexplained)} class="big" />
          <p>{state.unexplained > 0 ? "numbers that their own records do not give" : "every difference has its cause, to the last unit"}</p>
        </section>
        <section class="tile">
          <h2>Compared</h2>
          <span class="number big" data-testid="compared_at" data-value={state.compared_at}>
            {time(state.compared_at)}
            <small> {age(now.value - state.compared_at)} ago</small>
          </span>
          <p>
            minutes {clock(found.first_minute)} to {clock(found.end_minute)}
            {found.cutover_minute !== null && `, gold answers before ${clock(found.cutover_minute)}`}
          </p>
        </section>
        <section class="tile">
          <h2>Publish</h2>
          <span class="number publish" data-testid="publish_id">
            {found.publish_id ?? "none yet"}
          </span>
          <p>
            <Number id="dead_letters" value={found.dead_letters} figure={count(found.dead_letters)} /> dead letters came in these minutes: they are in neither
            side
          </p>
        </section>
      </div>
      <section class="panel minutes trend">
        <h2>
          The last comparisons <small>rows that are equal; events that live counts otherwise, by cause</small>
          <ul class="legend">
            {used.map(({ cause, meaning }) => (
              <li title={meaning}>
                <i style={{ background: `var(--${CAUSE_COLOURS[cause] ?? "muted"})` }} />
                {cause}
              </li>
            ))}
          </ul>
        </h2>
        <Chart option={trend} label={`Share of equal rows in the last ${found.trend.length} comparisons, and the causes of different event counts`} />
      </section>
      <ParityMetrics found={found} />
      <ParityParts found={found} />
      <ParityRows found={found} />
    </>
  );
}

const clock = (seconds: number | null): string => (seconds === null ? "–" : time(seconds * 1_000));
