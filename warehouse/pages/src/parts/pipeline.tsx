/** How the machinery behind the numbers does: what came in, what was refused, what was published and checked last. */

import type { ComponentChildren } from "preact";
import type { Pipeline as PipelineData, Publish } from "../data/protocol";
import { age, count, millis, rate, time } from "../format";
import { Number } from "./figure";

interface Props {
  readonly pipeline: PipelineData;
  readonly publish: Publish;
  readonly now: number;
}

export function Pipeline({ pipeline, publish, now }: Props) {
  const { quality, parity } = pipeline;
  const published = publish.published_at;
  return (
    <section class="panel pipeline" aria-label="Pipeline">
      <Item label="Events">
        <Number id="events_per_s" value={pipeline.events_per_s} figure={rate(pipeline.events_per_s, "/ s")} />
      </Item>
      <Item label="Events in all">
        <Number id="events" value={pipeline.events} figure={count(pipeline.events)} />
      </Item>
      <Item label="Open sessions">
        <Number id="open_sessions" value={pipeline.open_sessions} figure={count(pipeline.open_sessions)} />
      </Item>
      <Item label="Late">
        <Number id="late" value={pipeline.late} figure={count(pipeline.late)} />
      </Item>
      <Item label="Duplicates">
        <Number id="duplicates" value={pipeline.duplicates} figure={count(pipeline.duplicates)} />
      </Item>
      <Item label="Rejected" level={pipeline.rejected > 0 ? "warn" : "fine"}>
        <Number id="rejected" value={pipeline.rejected} figure={count(pipeline.rejected)} />
      </Item>
      <Item label="Live lag" level={(pipeline.lag_ms ?? 0) > 5_000 ? "warn" : "fine"}>
        <Number id="lag_ms" value={pipeline.lag_ms} figure={millis(pipeline.lag_ms)} />
      </Item>
      <Item label="Published">
        <span class="number" data-testid="published_at" data-value={published ?? ""}>
          {published === null ? "never" : `${time(published)}`}
          {published !== null && <small> {age(now - published)} ago</small>}
        </span>
      </Item>
      <Item label="Quality checks" level={quality?.status === "failed" ? "bad" : "fine"}>
        <span class="number" data-testid="quality" data-value={quality?.status ?? ""}>
          {quality === null ? "not run yet" : quality.failed > 0 ? `${quality.failed} failed` : `${quality.passed} passed`}
          {quality !== null && <small> {age(now - quality.checked_at)} ago</small>}
        </span>
      </Item>
      <Item label="Live against batch" level={(parity?.unexplained ?? 0) > 0 ? "bad" : "fine"}>
        <a href="/parity" class="number" data-testid="parity_state" data-value={parity?.unexplained ?? ""}>
          {parity === null ? "not compared yet" : parity.unexplained > 0 ? `${parity.unexplained} unexplained` : "explained"}
          {parity !== null && <small> {age(now - parity.compared_at)} ago</small>}
        </a>
      </Item>
    </section>
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
