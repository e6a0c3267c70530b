/** One time axis: what the player did, its events, bitrate, buffer or position. */

import { useMemo } from "preact/hooks";
import { Chart } from "../charts/chart";
import { EVENT_KINDS, PHASE_COLOURS, timelineChart } from "../charts/timeline";
import type { Phase, SessionView } from "../data/protocol";
import { chosenEvent } from "../data/session";
import { count, duration, together } from "../format";
import { palette, rem } from "../theme";

export function SessionTimeline({ view }: { readonly view: SessionView }) {
  const colour = palette.value;
  const chosen = view.events.find(({ event_id }) => event_id === chosenEvent.value)?.at ?? null;
  const option = useMemo(() => timelineChart(view, chosen, colour, rem()), [view, chosen, colour]);
  const phases = (Object.keys(PHASE_COLOURS) as Phase["name"][]).filter((name) => view.phases.some((phase) => phase.name === name));
  const kinds = EVENT_KINDS.filter(({ types }) => view.events.some(({ event_type }) => types.includes(event_type)));
  if (view.events_problem) {
    return (
      <section class="panel">
        <h2>Timeline</h2>
        <p class="banner" role="alert" data-testid="events-problem">{view.events_problem} The figures below are those of the published row.</p>
      </section>
    );
  }
  if (view.events.length === 0) {
    return (
      <section class="panel">
        <h2>Timeline</h2>
        <p class="note" data-testid="no-events">The lake holds no events of this session any more: the figures below are what is left of it.</p>
      </section>
    );
  }
  const buffer = view.buffer.value.flatMap((value) => (value === null ? [] : [value]));
  const lowest = buffer.length === 0 ? "" : `; buffer lowest ${together(duration(Math.min(...buffer)))}`;
  return (
    <section class="panel timeline">
      <h2>
        Timeline
        <small>
          {count(view.events.length + view.events_left_out).text} events, read from the lake in {view.read_ms} ms
          {view.buffer.at.length === 0 && "; this player reports no buffer (CMCD does)"}
        </small>
        <ul class="legend">
          {phases.map((name) => (
            <li data-testid={`phase.${name}`} data-value={spent(view, name)}>
              <i class="area" style={{ background: `var(--${PHASE_COLOURS[name]})` }} />
              {name} {together(duration(spent(view, name)))}
            </li>
          ))}
          {kinds.map(({ name, colour: shade }) => (
            <li>
              <i class="dot" style={{ background: `var(--${shade})` }} />
              {name}
            </li>
          ))}
        </ul>
      </h2>
      <Chart
        option={option}
        label={`Timeline of the session: ${phases.map((name) => `${name} ${together(duration(spent(view, name)))}`).join(", ")}${lowest}`}
      />
    </section>
  );
}

function spent(view: SessionView, name: string): number {
  return view.phases.filter((phase) => phase.name === name).reduce((sum, { start_at, stop_at }) => sum + stop_at - start_at, 0);
}
