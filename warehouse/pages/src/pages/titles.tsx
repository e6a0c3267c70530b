/** Titles: what is watched, what gains viewers, and where viewers of a title leave. */

import { useMemo } from "preact/hooks";
import { useAnswer } from "../data/answer";
import { beat } from "../data/beat";
import { SPANS, UNKNOWN } from "../data/cohorts";
import type { TitleList, TitleRow, TitleView } from "../data/protocol";
import { fresh, now } from "../data/store";
import { ask, listUrl, span, titleId, viewUrl } from "../data/titles";
import { type Column, DataGrid } from "../parts/data-grid";
import { Down } from "../parts/down";
import { TitlePanel } from "../parts/title-panel";
import { age, count, duration, millis, rate, share, timeSeconds } from "../format";

const GAINING = 6;

export function Titles() {
  const list = useAnswer<TitleList>(listUrl(), beat());
  const id = titleId.value ?? list.value?.titles[0]?.content_id ?? null;
  const view = useAnswer<TitleView>(id === null ? null : viewUrl(id), beat());
  const problem = list.problem || view.problem;
  const found = list.value;
  const isOld = !list.isCurrent || fresh.value.state === "down";
  return (
    <main class="titles-page" data-testid="titles">
      <Down />
      {problem && <p class="banner" role="alert" data-testid="problem">{problem}</p>}
      <Top found={found} />
      {found === null && !problem && <p class="note" role="status">Reading the titles.</p>}
      {found !== null && found.titles.length === 0 && (
        <section class="first-event" data-testid="no-titles">
          <h1>Nothing was watched</h1>
          <p>No title was watched in this stretch. Choose a longer one.</p>
        </section>
      )}
      {found !== null && found.titles.length > 0 && (
        <div class={isOld ? "old" : ""} aria-busy={isOld}>
          <List found={found} chosen={id} />
        </div>
      )}
      {view.value && <TitlePanel view={view.value} isOld={!view.isCurrent} />}
    </main>
  );
}

function Top({ found }: { readonly found: TitleList | null }) {
  const gaining = [...(found?.titles ?? [])].filter(({ surge }) => (surge ?? 0) > 0).sort((a, b) => (b.surge ?? 0) - (a.surge ?? 0));
  return (
    <section class="panel controls" aria-label="Stretch">
      <fieldset class="ranges">
        <legend class="hidden">Time range</legend>
        {Object.entries(SPANS).map(([name, seconds]) => (
          <label>
            <input type="radio" name="span" checked={span.value === seconds} onChange={() => ask({ span: seconds })} />
            <span>{name}</span>
          </label>
        ))}
      </fieldset>
      {gaining.length > 0 && (
        <nav class="gaining" aria-label="Gaining viewers">
          Gaining
          {gaining.slice(0, GAINING).map((row) => (
            <button type="button" title="average viewers of the last 5 minutes, against the 30 before them" onClick={() => ask({ id: row.content_id })}>
              {nameOf(row)} <small>+{rate(row.change, "").text}</small>
            </button>
          ))}
        </nav>
      )}
      {found && (
        <p class="made" data-testid="basis">
          Minutes, history and live joined at the cut-over
          {found.live_at !== null && `, up to ${timeSeconds(found.live_at)} (${age(now.value - found.live_at)} old)`}
        </p>
      )}
    </section>
  );
}

function List({ found, chosen }: { readonly found: TitleList; readonly chosen: string | null }) {
  const text = JSON.stringify(found.titles);
  const rows = useMemo(() => found.titles, [text]);
  const columns = useMemo<Column<TitleRow>[]>(
    () => [
      { name: "title", title: "Title", value: nameOf, isWide: true, width: 180 },
      { name: "content_id", title: "Id", value: (row) => row.content_id || UNKNOWN, width: 160 },
      { name: "viewers", title: "Viewers", hint: "average number of concurrent viewers over the stretch", value: (row) => row.viewers, figure: (row) => rate(row.viewers, "viewers"), width: 125 },
      {
        name: "change",
        title: "Now",
        hint: "average viewers of the last 5 closed minutes, against the 30 before them",
        value: (row) => row.change,
        figure: (row) => ({ text: row.change === null ? "–" : `${row.change < 0 ? "\u2212" : "+"}${Math.abs(row.change).toFixed(1)}`, unit: "" }),
        width: 80,
      },
      { name: "plays", title: "Plays", value: (row) => row.plays, figure: (row) => count(row.plays), width: 85 },
      { name: "watched_ms", title: "Watched", value: (row) => row.watched_ms, figure: (row) => duration(row.watched_ms), width: 105 },
      { name: "startup_p95_ms", title: "Startup p95", value: (row) => row.startup_p95_ms, figure: (row) => millis(row.startup_p95_ms), width: 110 },
      { name: "stalled_share", title: "Stalled", hint: "share of watched time", value: (row) => row.stalled_share, figure: (row) => share(row.stalled_share), width: 95 },
      { name: "start_failure_rate", title: "Start failures", hint: "share of plays", value: (row) => row.start_failure_rate, figure: (row) => share(row.start_failure_rate), width: 120 },
    ],
    [],
  );
  return (
    <section class="panel">
      <h2>
        Titles
        <small data-testid="total" data-value={found.total}>
          {found.titles.length < found.total && `${found.titles.length} of `}
          {count(found.total).text}, most watched first; click or Enter shows {chosen === null ? "one" : "another"} below
        </small>
      </h2>
      <DataGrid label="Titles by watched time" columns={columns} rows={rows} id={(row) => row.content_id} open={(row) => ask({ id: row.content_id })} height="21rem" />
    </section>
  );
}

const nameOf = (row: TitleRow): string => row.name ?? (row.content_id || UNKNOWN);
