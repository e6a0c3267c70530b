/** One title: its audience over time, how far its plays get, and where viewers leave. */

import { useMemo } from "preact/hooks";
import { Chart } from "../charts/chart";
import { audienceChart, retentionChart } from "../charts/title";
import type { Retention, TitleView } from "../data/protocol";
import { now } from "../data/store";
import { age, count, measured, moment, share } from "../format";
import { palette, rem } from "../theme";
import { Number } from "./figure";

export function TitlePanel({ view, isOld }: { readonly view: TitleView; readonly isOld: boolean }) {
  const colour = palette.value;
  const audience = useMemo(() => audienceChart(view, colour, rem()), [JSON.stringify(view.audience), view.start_at, colour]);
  const kept = view.retention;
  const retention = useMemo(() => (kept === null ? null : retentionChart(kept, colour, rem())), [JSON.stringify(kept), colour]);
  return (
    <div class={isOld ? "title-panel old" : "title-panel"} aria-busy={isOld}>
      <section class="panel head">
        <div class="who">
          <h1 data-testid="title">{view.name ?? (view.content_id || "unknown")}</h1>
          <p>
            {view.content_id}
            {view.sessions_to_at !== null && ` · of sessions that began before ${moment(view.sessions_to_at, now.value)}`}
          </p>
        </div>
        <Fact id="viewers" label="different viewers" value={view.viewers} figure={count(view.viewers)} />
        <Fact id="complete_play_rate" label="complete plays" value={view.complete_play_rate} figure={share(view.complete_play_rate)} />
        <Fact id="valid_play_rate" label="valid plays" value={view.valid_play_rate} figure={share(view.valid_play_rate)} />
        <Fact id="experience_score" label="experience" value={view.experience_score} figure={measured(view.experience_score, "points")} />
        <p class="closer">
          <a href={`/cohorts?metric=stalled_share&by=country&by=device_type&where=content_id:${encodeURIComponent(view.content_id)}&span=86400`}>Quality of this title</a>
        </p>
      </section>
      <section class="panel over-time">
        <h2>
          Audience <small>average viewers, and plays begun; a point is {age(view.step_s * 1_000)}</small>
        </h2>
        {view.audience.at.length === 0 ? <p class="note">Nobody watched it in this stretch.</p> : <Chart option={audience} label="Viewers and plays of the title over time" />}
      </section>
      <section class="panel over-time">
        {kept === null || retention === null ? (
          <>
            <h2>Where viewers leave</h2>
            <p class="note" data-testid="no-retention">
              No published play of these days tells how far it got: a live stream has no length, and the newest plays come with the next publish.
            </p>
          </>
        ) : (
          <>
            <h2>
              Where viewers leave
              <small>
                <Number id="retention.plays" value={kept.plays} figure={count(kept.plays, "plays")} /> begun {days(kept)} (UTC); half way{" "}
                <Number id="retention.50" value={kept.reached[50]} figure={share(kept.reached[50])} />, at 90 %{" "}
                <Number id="retention.90" value={kept.reached[90]} figure={share(kept.reached[90])} />
              </small>
            </h2>
            <Chart option={retention} label={`Share of plays by position; half way ${share(kept.reached[50]).text} %`} />
          </>
        )}
      </section>
    </div>
  );
}

const days = ({ first_day, last_day }: Retention): string => (first_day === last_day ? `on ${first_day}` : `from ${first_day} to ${last_day}`);

function Fact({ id, label, value, figure }: { readonly id: string; readonly label: string; readonly value: number | null; readonly figure: { text: string; unit: string } }) {
  return (
    <div class="fact">
      <h3>{label}</h3>
      <Number id={`fact.${id}`} value={value} figure={figure} class="big" />
    </div>
  );
}
