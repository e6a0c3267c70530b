/** Sessions that a search found, newest first. */

import { useMemo } from "preact/hooks";
import { valueName } from "../data/cohorts";
import type { SessionHit, SessionSearch } from "../data/protocol";
import { wanted } from "../data/session";
import { now } from "../data/store";
import { age, count, duration, millis, moment } from "../format";
import { type Column, DataGrid } from "./data-grid";

export function SessionHits({ found, open }: { readonly found: SessionSearch; readonly open: (id: string) => void }) {
  const columns = useMemo<Column<SessionHit>[]>(
    () => [
      { name: "started_at", title: "Started", value: (row) => row.started_at, figure: (row) => ({ text: moment(row.started_at, now.peek()), unit: "" }), width: 130 },
      { name: "session_id", title: "Session", value: (row) => row.session_id, isWide: true, width: 160 },
      { name: "user_id", title: "User", value: (row) => row.user_id, width: 130 },
      { name: "content_id", title: "Title", value: (row) => row.content_id, width: 150 },
      { name: "device_type", title: "Device", value: (row) => valueName(row.device_type), width: 100 },
      { name: "country", title: "Country", value: (row) => valueName(row.country), width: 90 },
      { name: "startup_ms", title: "Startup", value: (row) => row.startup_ms, figure: (row) => millis(row.startup_ms), width: 95 },
      { name: "watched_ms", title: "Watched", value: (row) => row.watched_ms, figure: (row) => duration(row.watched_ms), width: 100 },
      { name: "stall_ms", title: "Stalled", value: (row) => row.stall_ms, figure: (row) => duration(row.stall_ms), width: 95 },
      { name: "experience_score", title: "Score", value: (row) => row.experience_score, figure: (row) => count(row.experience_score, "points"), width: 95 },
      { name: "end", title: "End", value: (row) => [row.end_reason, row.error_code].filter(Boolean).join(" · ").replaceAll("_", " "), width: 150 },
    ],
    [],
  );
  const { publish } = found;
  if (found.hits.length === 0) {
    return (
      <section class="first-event" data-testid="no-hits">
        <h1>Nothing found</h1>
        <p>
          No published session has the id <code>{wanted.value}</code>, and none is of a user of that id.{" "}
          {publish.published_at === null
            ? "Nothing has been published yet."
            : `Sessions were published ${age(now.value - publish.published_at)} ago` +
              (found.first_at === null ? "." : `; the oldest of them began ${moment(found.first_at, now.value)}, older ones are in the lake only.`)}
        </p>
      </section>
    );
  }
  return (
    <section class="panel">
      <h2>
        Sessions of {wanted.value}
        <small data-testid="hits" data-value={found.total}>
          {found.hits.length < found.total && `newest ${found.hits.length} of `}
          {count(found.total).text}, newest first; click or Enter opens one
        </small>
      </h2>
      <DataGrid label="Sessions found" columns={columns} rows={found.hits} id={(row) => row.session_id} open={(row) => open(row.session_id)} height="30rem" />
    </section>
  );
}
