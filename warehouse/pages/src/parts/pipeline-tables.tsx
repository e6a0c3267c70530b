/** How far each layer has come: the last commit of its tables, what they hold, and what the published file has of them. */

import { bytes } from "../data/pipeline";
import type { PipelineView, TableState } from "../data/protocol";
import { now } from "../data/store";
import { NOTHING, age, count, moment, together } from "../format";
import { Number } from "./figure";

const MEANING: Readonly<Record<TableState["layer"], string>> = {
  live: "minutes since the cut-over, rewritten twice a second",
  bronze: "every record as it came; the sink commits it",
  silver: "events each once, and sessions",
  gold: "audited tables by minute and day",
  published: "what SQL and the pages read of the past",
};

export function PipelineTables({ view }: { readonly view: PipelineView }) {
  const layers = [...new Set(view.tables.map(({ layer }) => layer))];
  return (
    <section class="panel layers" aria-label="Freshness of each layer">
      <h2>
        Freshness of each layer <small>versions and rows as the Delta logs tell them; rows of bronze are counted every half minute</small>
      </h2>
      {view.tables_problem && <p class="banner why" role="alert" data-testid="tables-problem">{view.tables_problem}</p>}
      <table>
        <thead>
          <tr>
            <th>Table</th>
            <th>Changed</th>
            <th title="Received time up to which it holds every record">Complete to</th>
            <th>Version</th>
            <th title="The version that the published file holds">Published</th>
            <th>Rows</th>
            <th>Size</th>
            <th>Files</th>
          </tr>
        </thead>
        {layers.map((layer) => (
          <tbody key={layer}>
            <tr class="layer">
              <th colSpan={8}>
                {layer} <small>{MEANING[layer]}</small>
              </th>
            </tr>
            {view.tables
              .filter((one) => one.layer === layer)
              .map((one) => (
                <Row key={one.table} table={one} />
              ))}
          </tbody>
        ))}
      </table>
    </section>
  );
}

function Row({ table }: { readonly table: TableState }) {
  const { version, published_version } = table;
  const isAhead = published_version !== null && version !== null && version > published_version;
  return (
    <tr>
      <th scope="row">{table.table}</th>
      <td class="number" data-testid={`changed.${table.table}`} data-value={table.changed_at}>
        {age(now.value - table.changed_at)} ago
      </td>
      <td class="number">{table.as_of === null ? NOTHING : moment(table.as_of, now.value)}</td>
      <td><Number id={`version.${table.table}`} value={version} figure={count(version)} /></td>
      <td class={isAhead ? "number ahead" : "number"} title={isAhead ? "newer rows come with the next publish" : undefined}>
        {published_version === null ? NOTHING : count(published_version).text}
      </td>
      <td><Number id={`rows.${table.table}`} value={table.rows} figure={count(table.rows)} /></td>
      <td class="number">{together(bytes(table.size_bytes))}</td>
      <td class="number">{together(count(table.files))}</td>
    </tr>
  );
}
