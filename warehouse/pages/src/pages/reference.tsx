/** Reference: how to ask in SQL, and what there is to ask about. Served from here, so that it works offline. */

import { useEffect, useState } from "preact/hooks";
import { type Catalog, type Macro, type Table, fetchCatalog } from "../data/catalog";
import { Command } from "../parts/command";

const QUESTION = `SELECT country, stalled_share(stall_ms, watched_ms) AS stalled
  FROM metrics.quality_minute WHERE rollup = 'country_device' GROUP BY country ORDER BY stalled DESC`;

export function Reference() {
  const [catalog, setCatalog] = useState<Catalog | null>(null);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    fetchCatalog().then(setCatalog, (error: Error) => setProblem(error.message));
  }, []);
  const body = JSON.stringify({ sql: "SELECT * FROM metrics.freshness", format: "csv" });
  return (
    <main class="reference">
      <h1>SQL &amp; API</h1>
      <p>
        One question over history and live together. Queries are read-only, limited in time and memory, and see the schemas below. The
        page <a href="/sql">SQL</a> has an editor for them. From a shell:
      </p>
      <Command text={`playlake sql "${QUESTION}"`} />
      <p>Over HTTP, as JSON, CSV or an Arrow stream:</p>
      <Command text={`curl -s ${location.origin}/v1/sql -H 'content-type: application/json' \\\n  -d '${body}'`} />
      <p>
        The whole interface as <a href="/openapi.json">OpenAPI</a>, the lists below as <a href="/v1/catalog">JSON</a>.
      </p>
      {problem && (
        <p class="banner" role="alert">
          The catalogue cannot be read: {problem}
        </p>
      )}
      {catalog && <Lists catalog={catalog} />}
    </main>
  );
}

function Lists({ catalog }: { readonly catalog: Catalog }) {
  return (
    <>
      <h2>Metrics</h2>
      <p>Every ratio and quantile is defined once, as a macro over the additive parts in the tables.</p>
      <dl>
        {catalog.macros.map((macro) => (
          <MacroEntry key={macro.name} macro={macro} />
        ))}
      </dl>
      <h2>Tables</h2>
      {catalog.tables.map((table) => (
        <TableEntry key={`${table.schema}.${table.name}`} table={table} />
      ))}
    </>
  );
}

function MacroEntry({ macro }: { readonly macro: Macro }) {
  return (
    <>
      <dt>
        <code>
          {macro.name}({macro.parameters.join(", ")})
        </code>
      </dt>
      <dd>{macro.comment}</dd>
    </>
  );
}

function TableEntry({ table }: { readonly table: Table }) {
  return (
    <details data-testid={`table.${table.schema}.${table.name}`}>
      <summary>
        <code>
          {table.schema}.{table.name}
        </code>
        <small>{table.columns.length} columns</small>
        {table.comment}
      </summary>
      <table>
        <tbody>
          {table.columns.map((column) => (
            <tr key={column.name}>
              <th scope="row">
                <code>{column.name}</code>
              </th>
              <td>{column.type}</td>
              <td>{column.unit}</td>
              <td>{column.comment}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </details>
  );
}
