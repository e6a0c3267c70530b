/** The events of a session as the lake has them; a chosen one stands on the timeline, with its raw fields. */

import { useMemo } from "preact/hooks";
import type { SessionView, TimelineEvent } from "../data/protocol";
import { choose, chosenEvent } from "../data/session";
import { NOTHING, count, duration, millis, timeSeconds } from "../format";
import { type Column, DataGrid } from "./data-grid";

export function SessionEvents({ view }: { readonly view: SessionView }) {
  const start = view.started_at ?? 0;
  const columns = useMemo<Column<TimelineEvent>[]>(
    () => [
      { name: "at", title: "At", value: (row) => row.at, figure: (row) => ({ text: timeSeconds(row.at), unit: "" }), width: 90 },
      { name: "since", title: "Since start", value: (row) => row.at - start, figure: (row) => duration(row.at - start), width: 105 },
      { name: "event_type", title: "Event", value: (row) => row.event_type, width: 130 },
      { name: "phase", title: "Then", hint: "what the player did after it, as the metrics see it", value: (row) => row.phase || NOTHING, width: 95 },
      { name: "position_ms", title: "Position", value: (row) => row.position_ms, figure: (row) => duration(row.position_ms), width: 95 },
      { name: "bitrate_kbps", title: "Bitrate", value: (row) => row.bitrate_kbps, figure: (row) => count(row.bitrate_kbps, "kbit/s"), width: 110 },
      { name: "detail", title: "Detail", value: (row) => row.detail, isWide: true, width: 110 },
      { name: "late", title: "Arrived", hint: "received this long after it happened", value: (row) => row.received_at - row.at, figure: (row) => millis(row.received_at - row.at), width: 90 },
      { name: "seq", title: "No.", hint: "the client's running number", value: (row) => row.seq, figure: (row) => count(row.seq), width: 65 },
    ],
    [start],
  );
  const chosen = view.events.find(({ event_id }) => event_id === chosenEvent.value);
  if (view.events.length === 0) return null;
  return (
    <section class="panel events">
      <h2>
        Events{" "}
        <small data-testid="events" data-value={view.events.length}>
          {view.events_left_out > 0 && `the first ${count(view.events.length).text} of ${count(view.events.length + view.events_left_out).text}; `}
          click or Enter shows one on the timeline, with its raw fields
        </small>
      </h2>
      <DataGrid label="Events of the session" columns={columns} rows={view.events} id={(row) => row.event_id} open={(row) => choose(row.event_id)} height={`min(34rem, ${1.75 * (view.events.length + 2)}rem)`} />
      {chosen && (
        <dl class="raw" data-testid="raw" data-event={chosen.event_id}>
          {[
            { name: "event_id", value: chosen.event_id },
            { name: "table", value: chosen.table },
            { name: "occurred_at", value: new Date(chosen.at).toISOString() },
            { name: "received_at", value: new Date(chosen.received_at).toISOString() },
            ...chosen.fields,
          ].map(({ name, value }) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>
                <code>{value}</code>
              </dd>
            </div>
          ))}
        </dl>
      )}
    </section>
  );
}
