/** What a query gave: rows or a chart, how many, how fast, how fresh; or what was wrong with it. */

import { signal } from "@preact/signals";
import { useMemo, useState } from "preact/hooks";
import type { Limits } from "../data/catalog";
import { type Failure, MOST_ROWS, type Result, type Run, current, download, failureOf } from "../data/sql-run";
import { now } from "../data/store";
import { kindOf, numberOf, shortUnit, shown } from "../data/values";
import { age, count, millis, moment, timeSeconds, together } from "../format";
import { type Column, DataGrid } from "./data-grid";
import { SqlChart } from "./sql-chart";

interface Props {
  readonly meanings: ReadonlyMap<string, string>;
  readonly limits: Limits | null;
}

export function SqlAnswer({ meanings, limits }: Props) {
  const run = current.value;
  switch (run.state) {
    case "idle":
      return <p class="note" data-testid="idle">Ctrl-Enter asks. A query only reads, and ends by itself{limits && ` after ${limits.timeout_s} s`}.</p>;
    case "running":
      void now.value; // moves twice a second
      return (
        <p class="note" role="status" data-testid="running">
          {run.isStopping ? "Stopping" : "Asking"}, {age(Date.now() - run.since)}
        </p>
      );
    case "failed":
      return <Wrong failure={run.failure} />;
    case "answered":
      return <Rows run={run} {...{ meanings, limits }} />;
  }
}

const ASIDE: Readonly<Record<string, string>> = {
  cancelled: "Stopped.",
  not_allowed: "The key that this browser uses may look at the dashboard, not ask in SQL.",
  busy: "All places for queries are taken.",
  timeout: "It took too long.",
};

function Wrong({ failure }: { readonly failure: Failure }) {
  return (
    <div class={failure.reason === "cancelled" ? "banner why" : "banner"} role="alert" data-testid="failure" data-reason={failure.reason}>
      {ASIDE[failure.reason] && <strong>{ASIDE[failure.reason]}</strong>}
      {failure.reason !== "cancelled" && <pre>{failure.message}</pre>}
    </div>
  );
}

type Row = { readonly place: number; readonly cells: readonly unknown[] };

/** Stays as it was chosen from one query to the next. */
const isChart = signal(false);

function Rows({ run, meanings, limits }: Props & { readonly run: Run & { readonly state: "answered" } }) {
  const { result } = run;
  const columns = useMemo(() => columnsOf(result, meanings), [result, meanings]);
  const rows = useMemo<Row[]>(() => result.rows.map((cells, place) => ({ place, cells })), [result]);
  const plan = result.columns.findIndex(({ name }) => name === "explain_value");
  return (
    <section class="panel answer" aria-label="Answer" data-testid="answer">
      <header>
        <fieldset class="ranges">
          <legend class="hidden">Show</legend>
          {(["rows", "chart"] as const).map((name) => (
            <label>
              <input type="radio" name="shown" checked={isChart.value === (name === "chart")} onChange={() => (isChart.value = name === "chart")} />
              <span>{name === "rows" ? "Rows" : "Chart"}</span>
            </label>
          ))}
        </fieldset>
        <Facts run={run} limits={limits} />
        <Files sql={run.sql} />
      </header>
      {isChart.value ? (
        <SqlChart key={run.sql} result={result} />
      ) : plan >= 0 ? (
        <pre class="plan">{result.rows.map((row) => String(row[plan])).join("\n")}</pre>
      ) : result.row_count === 0 ? (
        <p class="note" data-testid="no-rows">No row fits.</p>
      ) : (
        <DataGrid label="Rows of the answer" columns={columns} rows={rows} id={({ place }) => String(place)} height="100%" />
      )}
    </section>
  );
}

function Facts({ run: { result, freshness }, limits }: { readonly run: Run & { readonly state: "answered" }; readonly limits: Limits | null }) {
  const { publish, live_at } = freshness;
  const ago = publish?.published_at == null ? "" : `, ${age(now.value - publish.published_at)} ago`;
  return (
    <p class="facts">
      <span class="number" data-testid="rows" data-value={result.row_count}>
        {together(count(result.row_count, result.row_count === 1 ? "row" : "rows"))}
      </span>{" "}
      in{" "}
      <span class="number" data-testid="elapsed" data-value={result.elapsed_ms}>
        {together(millis(result.elapsed_ms))}
      </span>
      {result.truncated && (
        <strong data-testid="truncated">
          {" "}
          cut at {count(result.row_count).text}; there are more
          {limits && limits.max_rows > MOST_ROWS && ` (a file has up to ${count(limits.max_rows).text})`}
        </strong>
      )}
      <small data-testid="freshness">
        {publish?.cutover_minute != null
          ? ` · history before ${moment(publish.cutover_minute * 1_000, now.value)} (published${ago}), live since`
          : result.publish_id === null
            ? " · nothing is published yet, live only"
            : ` · publish ${result.publish_id}`}
        {live_at !== null && `, up to ${timeSeconds(live_at)}`}
      </small>
    </p>
  );
}

function Files({ sql }: { readonly sql: string }) {
  const [said, setSaid] = useState("");
  const get = (format: "csv" | "parquet") => async () => {
    setSaid(`${format} is being made`);
    await download(sql, format).then(
      (isCut) => setSaid(isCut ? "the file was cut: there are more rows" : ""),
      (error: unknown) => setSaid(failureOf(error).message),
    );
  };
  return (
    <div class="files">
      {said && <small role="status" data-testid="file">{said}</small>}
      <button type="button" onClick={get("csv")} title="The query is asked again, for the file">CSV</button>
      <button type="button" onClick={get("parquet")} title="The query is asked again, for the file">Parquet</button>
    </div>
  );
}

const NARROW = 75;
const WIDE = 340;

function columnsOf({ columns, rows }: Result, meanings: Props["meanings"]): Column<Row>[] {
  const names = new Map<string, number>();
  return columns.map(({ name, type, unit: told }, place) => {
    const kind = kindOf(type);
    const unit = shortUnit(told);
    const again = (names.get(name) ?? 0) + 1;
    names.set(name, again);
    const figure = ({ cells }: Row) => shown(cells[place], kind, unit);
    const longest = Math.max(name.length, ...rows.slice(0, 200).map((row) => together(shown(row[place], kind, unit)).length));
    return {
      name: again === 1 ? name : `${name}_${again}`,
      title: name,
      hint: [meanings.get(name), type].filter(Boolean).join(" · "),
      value: ({ cells }: Row) => (kind === "number" ? numberOf(cells[place]) : cells[place] === null ? null : kind === "nested" ? JSON.stringify(cells[place]) : String(cells[place])),
      figure,
      isText: kind !== "number",
      width: Math.min(WIDE, Math.max(NARROW, 30 + longest * 8)),
    };
  });
}
