/** The batch side: publishes, audits, what was restated. */

import { useMemo } from "preact/hooks";
import { hasAirflow } from "../data/pipeline";
import type { AuditRun, Links, PipelineView, PublishRun, Restated } from "../data/protocol";
import { now } from "../data/store";
import { type Figure, NOTHING, age, count, duration, exact, moment, signed, together } from "../format";
import { type Column, DataGrid } from "./data-grid";
import { Number } from "./figure";

export function PipelinePublishes({ view }: { readonly view: PipelineView }) {
  const { publish } = view;
  return (
    <section class="panel publishes" aria-label="Publishes">
      <h2>
        Publishes{" "}
        <small>
          {publish.cutover_minute === null ? "none yet" : `gold answers before ${moment(publish.cutover_minute * 1_000, now.value)}, live from there on`}
          {view.built_ms !== null && `; its file was in force ${together(duration(view.built_ms))} later`}
        </small>
      </h2>
      {view.publishes.length === 0 ? (
        <p class="note" data-testid="no-publish">{publish.publish_id === null ? "Nothing has been published yet." : "The log of gold no longer tells of a publish."} Airflow publishes when silver has news; by hand: <code>playlake batch</code></p>
      ) : (
        <table>
          <thead>
            <tr>
              <th>Publish</th>
              <th>When</th>
              <th title="Received time up to which it holds every record">Complete to</th>
              <th title="Of all its tables, as audited">Rows</th>
              <th title="From the beginning of its stage to its commit">Took</th>
            </tr>
          </thead>
          <tbody>
            {view.publishes.map((one) => (
              <Publish key={one.publish_id} run={one} />
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

function Publish({ run }: { readonly run: PublishRun }) {
  return (
    <tr class={run.is_current ? "current" : ""} data-testid={`publish.${run.publish_id}`}>
      <th scope="row">
        <code>{run.publish_id}</code> {run.is_current && <small>in force</small>}
      </th>
      <td class="number">{age(now.value - run.committed_at)} ago</td>
      <td class="number">{run.as_of === null ? NOTHING : moment(run.as_of, now.value)}</td>
      <td class="number">{together(count(run.rows))}</td>
      <td class="number">{together(duration(run.took_ms))}</td>
    </tr>
  );
}

export function PipelineAudits({ view, links }: { readonly view: PipelineView; readonly links: Links | null }) {
  const airflow = hasAirflow(view);
  return (
    <section class="panel audits" aria-label="Data quality">
      <h2>
        Data quality <small>each layer is staged, audited, and only then committed</small>
        <span class="ways">
          {links?.quality && view.audits.length > 0 && (
            <a href={links.quality} target="_blank" rel="noopener" data-testid="to-report">
              Quality report
            </a>
          )}
          {links && airflow !== false && (
            <a href={links.airflow} target="_blank" rel="noopener" data-testid="to-airflow">
              Airflow
            </a>
          )}
          {airflow === false && <small data-testid="no-airflow">Airflow does not run here</small>}
        </span>
      </h2>
      {view.audits.length === 0 ? (
        <p class="note" data-testid="no-audit">No audit has run yet.</p>
      ) : (
        <table>
          <thead>
            <tr>
              <th>Layer</th>
              <th>When</th>
              <th>Passed</th>
              <th>Warnings</th>
              <th>Failed</th>
              <th>Rows</th>
              <th>Took</th>
            </tr>
          </thead>
          <tbody>
            {view.audits.map((one) => (
              <Audit key={one.run_id} audit={one} />
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

function Audit({ audit }: { readonly audit: AuditRun }) {
  return (
    <>
      <tr data-testid={`audit.${audit.run_id}`} data-state={audit.state}>
        <th scope="row">
          {audit.layer} <small>{together(count(audit.tables, audit.tables === 1 ? "table" : "tables"))}</small>
        </th>
        <td class="number">{age(now.value - audit.checked_at)} ago</td>
        <td><Number id={`passed.${audit.run_id}`} value={audit.passed} figure={count(audit.passed)} /></td>
        <td class={audit.warnings > 0 ? "warn number" : "number"}>{count(audit.warnings).text}</td>
        <td class={audit.failed > 0 ? "bad number" : "number"}>{count(audit.failed).text}</td>
        <td class="number">{together(count(audit.rows))}</td>
        <td class="number">{together(duration(audit.took_ms))}</td>
      </tr>
      {audit.wrong.map((line) => (
        <tr class="inner bad">
          <td colSpan={7}>{line}</td>
        </tr>
      ))}
    </>
  );
}

export function PipelineRestated({ view }: { readonly view: PipelineView }) {
  const text = JSON.stringify(view.restated);
  const rows = useMemo(() => view.restated, [text]);
  const columns = useMemo<Column<Restated>[]>(() => {
    // Every digit: what changed may be the last one.
    const digits = (value: number | null): Figure => ({ ...exact(value, ""), unit: "" });
    const number = (name: "old_value" | "new_value" | "change" | "events", title: string, figure: (value: number | null) => Figure = digits): Column<Restated> => ({
      name,
      title,
      value: (row) => row[name],
      figure: (row) => figure(row[name]),
      width: 120,
    });
    const change = (value: number | null): Figure => ({ ...signed(value, ""), unit: "" });
    return [
      { name: "restated_at", title: "When", value: (row) => row.restated_at, figure: (row) => ({ text: moment(row.restated_at, now.peek()), unit: "" }), width: 105 },
      { name: "table", title: "Table", value: (row) => row.table, width: 170 },
      { name: "day", title: "Day", value: (row) => row.day, width: 100 },
      { name: "alternative", title: "Of", value: (row) => row.alternative, width: 105 },
      { name: "metric", title: "Figure", value: (row) => row.metric, isWide: true, width: 140 },
      number("old_value", "Was"),
      number("new_value", "Is"),
      number("change", "Change", change),
      { ...number("events", "Late events"), hint: "events of that day that silver has gained in between" },
      { name: "publish_id", title: "Publish", value: (row) => row.publish_id, width: 190 },
    ];
  }, []);
  return (
    <section class="panel restated" aria-label="Restatements">
      <h2>
        Restatements
        <small data-testid="restated" data-value={view.restated_total}>
          {rows.length < view.restated_total && `newest ${rows.length} of `}
          {count(view.restated_total).text}: what publishes changed of what had been published
        </small>
      </h2>
      {rows.length === 0 ? (
        <p class="note" data-testid="no-restatement">No published figure has been changed by a later publish.</p>
      ) : (
        <DataGrid label="Restatements, newest first" columns={columns} rows={rows} id={(row) => [row.table, row.day, row.alternative, row.metric, row.restated_at].join(" ")} height="18rem" />
      )}
    </section>
  );
}
