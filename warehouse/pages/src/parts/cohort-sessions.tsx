/** The published sessions of the cohort, worst first: each leads to its timeline. */

import { useMemo } from "preact/hooks";
import type { CohortQuestion } from "../data/cohorts";
import { valueName } from "../data/cohorts";
import type { MeasureOption, SessionList, SessionOfCohort } from "../data/protocol";
import { now } from "../data/store";
import { count, duration, measured, millis, moment } from "../format";
import { type Column, DataGrid } from "./data-grid";

interface Props {
  readonly asked: CohortQuestion;
  readonly measure: MeasureOption;
  readonly found: SessionList | null;
  readonly problem: string;
  readonly isOld: boolean;
}

export function CohortSessions({ measure, found, problem, isOld }: Props) {
  const columns = useMemo(() => columnsOf(measure), [measure]);
  const rows = found?.sessions ?? [];
  return (
    <section class={isOld && found ? "panel sessions old" : "panel sessions"} aria-busy={isOld}>
      <h2>
        Sessions
        {found && (
          <small data-testid="sessions.total" data-value={found.total}>
            {found.total > rows.length ? `the worst ${rows.length} of ${count(found.total).text}` : `${count(found.total).text}`} that were there before{" "}
            {moment(found.basis.stop_at, now.value)}, worst first; click or Enter opens the timeline
          </small>
        )}
      </h2>
      {problem && <p class="note" role="alert">{problem}</p>}
      {found && rows.length === 0 && (
        <p class="note" data-testid="no-sessions">
          No published session of this cohort was there in this stretch. Sessions come with a publish; the minutes above are ahead of them.
        </p>
      )}
      {rows.length > 0 && (
        <DataGrid
          label="Sessions of the cohort"
          columns={columns}
          rows={rows}
          id={(row) => row.session_id}
          open={(row) => location.assign(`/session?id=${encodeURIComponent(row.session_id)}`)}
          height="26rem"
        />
      )}
    </section>
  );
}

function columnsOf(measure: MeasureOption): Column<SessionOfCohort>[] {
  return [
    { name: "started_at", title: "Started", value: (row) => row.started_at, figure: (row) => ({ text: moment(row.started_at, now.peek()), unit: "" }), width: 105 },
    { name: "value", title: measure.title, hint: measure.formula, value: (row) => row.value, figure: (row) => measured(row.value, measure.unit), width: 120 },
    { name: "session_id", title: "Session", value: (row) => row.session_id, isWide: true, width: 140 },
    { name: "user_id", title: "User", value: (row) => row.user_id, width: 110 },
    { name: "content_id", title: "Title", value: (row) => row.content_id, width: 130 },
    { name: "country", title: "Country", value: (row) => valueName(row.country), width: 85 },
    { name: "device_type", title: "Device", value: (row) => valueName(row.device_type), width: 90 },
    { name: "cdn", title: "CDN", value: (row) => valueName(row.cdn), width: 85 },
    { name: "app_version", title: "App", value: (row) => valueName(row.app_version), width: 80 },
    { name: "startup_ms", title: "Startup", value: (row) => row.startup_ms, figure: (row) => millis(row.startup_ms), width: 90 },
    { name: "watched_ms", title: "Watched", value: (row) => row.watched_ms, figure: (row) => duration(row.watched_ms), width: 95 },
    { name: "stall_count", title: "Stalls", value: (row) => row.stall_count, figure: (row) => count(row.stall_count), width: 75 },
    { name: "stall_ms", title: "Stalled", value: (row) => row.stall_ms, figure: (row) => duration(row.stall_ms), width: 90 },
    { name: "average_bitrate_kbps", title: "Bitrate", value: (row) => row.average_bitrate_kbps, figure: (row) => count(row.average_bitrate_kbps, "kbit/s"), width: 105 },
    { name: "experience_score", title: "Score", hint: "experience score, 0 to 100 points", value: (row) => row.experience_score, figure: (row) => count(row.experience_score, "points"), width: 90 },
    { name: "end", title: "End", value: (row) => [row.end_reason, row.error_code].filter(Boolean).join(" · ").replaceAll("_", " "), width: 130 },
  ];
}
