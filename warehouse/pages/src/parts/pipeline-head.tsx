/** The pipeline in a line: what is up, what comes in, what is behind, what is published, what was refused. */

import type { ComponentChildren } from "preact";
import { total, unwell } from "../data/pipeline";
import type { PipelineView, Process } from "../data/protocol";
import { fresh, live, now } from "../data/store";
import { type Figure, age, count, rate } from "../format";
import { Number } from "./figure";
import { isBehind } from "./pipeline-flow";

export function PipelineHead({ view }: { readonly view: PipelineView }) {
  const { flow, publish, letters } = view;
  const [audit] = view.audits;
  const ins = total(flow.partitions, "in_per_s");
  const dead = letters.counts.reduce((sum, one) => sum + one.total, 0);
  const state = fresh.value;
  return (
    <section class="panel pipeline" aria-label="In short">
      <Item label="Processes" level={view.supervisor === "up" || view.supervisor === "none" ? (unwell(view.processes).length > 0 ? "warn" : "fine") : "bad"}>
        <span class="number" data-testid="processes" data-value={view.processes.length - unwell(view.processes).length}>
          {view.supervisor === "none" ? "not supervised" : view.supervisor === "up" ? `${view.processes.length - unwell(view.processes).length} of ${view.processes.length} well` : view.supervisor}
        </span>
      </Item>
      <Item label="Into Kafka" level={flow.problem ? "bad" : "fine"}>
        {flow.problem ? <span data-testid="in">no broker</span> : <Number id="in" value={ins} figure={rate(ins, "/ s")} />}
      </Item>
      <Lag label="Sink lag" view={view} name="sink" />
      <Lag label="Worker lag" view={view} name="worker" />
      <Item label="Live" level={state.state === "live" ? "fine" : "warn"}>
        <span class="number">{state.state === "live" || state.state === "stale" ? `${age(state.ageMs)} old` : state.state === "empty" ? "no events yet" : "unknown"}</span>
      </Item>
      <Item label="Published">
        <span class="number" data-testid="published" data-value={publish.published_at ?? ""}>
          {publish.published_at === null ? "never" : `${age(now.value - publish.published_at)} ago`}
        </span>
      </Item>
      <Item label="Last audit" level={audit === undefined ? "fine" : audit.failed > 0 ? "bad" : audit.warnings > 0 ? "warn" : "fine"}>
        <span class="number">{audit === undefined ? "not run yet" : audit.failed > 0 ? `${audit.failed} failed` : `${audit.passed} passed`}</span>
      </Item>
      <Item label="Dead letters" level={dead > 0 ? "warn" : "fine"}>
        <Number id="dead" value={dead} figure={count(dead)} />
      </Item>
      <Item label="Late, duplicate">
        <span class="number" title="events that came after their minute was frozen; events that came twice">
          {count(live.value?.pipeline.late).text}, {count(live.value?.pipeline.duplicates).text}
        </span>
      </Item>
    </section>
  );
}

function Lag({ label, view, name }: { readonly label: string; readonly view: PipelineView; readonly name: "sink" | "worker" }) {
  const { partitions } = view.flow;
  const lag = total(partitions, `${name}_lag`);
  const figure: Figure = count(lag, lag === 1 ? "record" : "records");
  return (
    <Item label={label} level={isBehind(lag, total(partitions, `${name}_per_s`)) ? "warn" : "fine"}>
      <Number id={`${name}_lag`} value={lag} figure={figure} />
    </Item>
  );
}

function Item({ label, level = "fine", children }: { readonly label: string; readonly level?: string; readonly children: ComponentChildren }) {
  return (
    <div class={level}>
      <h3>{label}</h3>
      {children}
    </div>
  );
}

export function PipelineProcesses({ view }: { readonly view: PipelineView }) {
  return (
    <section class="panel processes" aria-label="Processes">
      <h2>
        Processes <small>as their supervisor sees them; <code>playlake status</code> tells the same</small>
      </h2>
      {view.supervisor === "gone" && <p class="banner" role="alert" data-testid="supervisor-gone">The supervisor has died. Its parts are shown as it saw them last; <code>playlake up</code> takes over.</p>}
      {view.supervisor === "none" && <p class="note" data-testid="unsupervised">Nothing is supervised here: each part is a service of its own, and its <code>/healthz</code> answers for it.</p>}
      <ul>
        {view.processes.map((one) => (
          <Entry key={one.name} process={one} />
        ))}
      </ul>
    </section>
  );
}

function Entry({ process }: { readonly process: Process }) {
  const { name, state, since, restarts, why } = process;
  return (
    <li class={process.is_well ? "well" : state === "starting" || state === "waiting" ? "warn" : "bad"} data-testid={`process.${name}`} data-state={state} title={why}>
      <i aria-hidden="true" />
      <strong>{name}</strong> {state}
      <small>
        {since > 0 && ` ${age(now.value - since)}`}
        {restarts > 0 && `, ${restarts} ${restarts === 1 ? "restart" : "restarts"}`}
        {!process.is_well && why && `: ${why}`}
      </small>
    </li>
  );
}
