/** Topics and their readers: how fast records come in and go out, and how far the readers are behind. */

import { useState } from "preact/hooks";
import { type TopicFlow, behind, topicsOf } from "../data/pipeline";
import type { Flow, PartitionFlow } from "../data/protocol";
import { now } from "../data/store";
import { type Figure, NOTHING, age, count, rate, together } from "../format";
import { Number } from "./figure";

/** A lag that a reader works off within so many seconds is none. */
export const BEHIND_S = 10;
/** Records that nobody calls a lag: a flush of the sink. */
const FEW = 500;

export function PipelineFlow({ flow }: { readonly flow: Flow }) {
  const [open, setOpen] = useState<string | null>(null);
  const topics = topicsOf(flow.partitions);
  return (
    <section class="panel flow" aria-label="Topics and their readers">
      <h2>
        Topics and their readers
        <small>
          {flow.read_at === null ? "not read yet" : `read ${age(now.value - flow.read_at)} ago`}
          {flow.over_ms !== null && `, speeds over ${age(flow.over_ms)}`}
        </small>
      </h2>
      {flow.problem && <p class="banner why" role="alert" data-testid="flow-problem">{flow.problem}.{topics.length > 0 && " What is shown is its last word."}</p>}
      {topics.length > 0 && (
        <table>
          <thead>
            <tr>
              <th>Topic</th>
              <th>Records in all</th>
              <th>In</th>
              <th title="The bronze sink writes records into the lake">Into the lake</th>
              <th title="Records that are not in the lake yet">Sink lag</th>
              <th title="Stream workers make live numbers of records">Into live</th>
              <th title="Records that are not in live numbers yet">Worker lag</th>
            </tr>
          </thead>
          <tbody>
            {topics.map((topic) => (
              <>
                <tr key={topic.topic}>
                  <th scope="row">
                    <button type="button" class="fold" aria-expanded={open === topic.topic} onClick={() => setOpen(open === topic.topic ? null : topic.topic)}>
                      {open === topic.topic ? "▾" : "▸"} {topic.topic} <small>{together(count(topic.partitions.length, topic.partitions.length === 1 ? "partition" : "partitions"))}</small>
                    </button>
                  </th>
                  <Cells id={topic.topic} row={topic} />
                </tr>
                {open === topic.topic &&
                  topic.partitions.map((row) => (
                    <tr key={`${topic.topic}/${row.partition}`} class="inner">
                      <th scope="row">{row.partition}</th>
                      <Cells id={`${topic.topic}.${row.partition}`} row={row} />
                    </tr>
                  ))}
              </>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

function Cells({ id, row }: { readonly id: string; readonly row: TopicFlow | PartitionFlow }) {
  return (
    <>
      <td><Number id={`end.${id}`} value={row.end} figure={count(row.end)} /></td>
      <td><Number id={`in.${id}`} value={row.in_per_s} figure={rate(row.in_per_s, "/ s")} /></td>
      <td><Number id={`sink.${id}`} value={row.sink_per_s} figure={rate(row.sink_per_s, "/ s")} /></td>
      <Lag id={`sink_lag.${id}`} lag={row.sink_lag} perS={row.sink_per_s} />
      <td><Number id={`worker.${id}`} value={row.worker_per_s} figure={rate(row.worker_per_s, "/ s")} /></td>
      <Lag id={`worker_lag.${id}`} lag={row.worker_lag} perS={row.worker_per_s} />
    </>
  );
}

function Lag({ id, lag, perS }: { readonly id: string; readonly lag: number | null; readonly perS: number | null }) {
  const seconds = behind(lag, perS);
  const figure: Figure = lag === null ? { text: NOTHING, unit: "" } : count(lag);
  return (
    <td class={isBehind(lag, perS) ? "warn" : ""} title={seconds === null ? undefined : `at its speed ${seconds.toFixed(1)} s`}>
      <Number id={id} value={lag} figure={figure} />
    </td>
  );
}

export function isBehind(lag: number | null, perS: number | null): boolean {
  if (lag === null || lag <= FEW || perS === null) return false; // a speed is known from the second reading on
  return perS === 0 || lag / perS > BEHIND_S;
}
