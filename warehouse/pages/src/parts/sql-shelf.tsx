/** Beside the editor: questions to start from, those that were kept, and what there is to ask about. */

import examples from "playlake:examples";
import { useState } from "preact/hooks";
import type { Catalog, Table } from "../data/catalog";
import { forget, saved } from "../data/sql-text";
import { nameOf } from "../data/sql-words";

interface Props {
  readonly catalog: Catalog | null;
  readonly open: (sql: string) => void;
  readonly insert: (text: string) => void;
}

export function SqlShelf({ catalog, open, insert }: Props) {
  const [sought, setSought] = useState("");
  const tables = (catalog?.tables ?? []).filter((table) => fits(table, sought));
  const macros = (catalog?.macros ?? []).filter(({ name }) => name.includes(sought.toLowerCase()));
  return (
    <aside class="panel shelf" aria-label="Queries and tables">
      <details open>
        <summary>Questions</summary>
        <ul data-testid="examples">
          {examples.map(({ title, sql }) => (
            <li>
              <button type="button" onClick={() => open(sql)}>{title}</button>
            </li>
          ))}
        </ul>
      </details>
      <details open>
        <summary>
          Saved <small>in this browser</small>
        </summary>
        <ul data-testid="saved">
          {saved.value.length === 0 && <li class="note">none yet</li>}
          {saved.value.map(({ name, sql }) => (
            <li>
              <button type="button" onClick={() => open(sql)}>{name}</button>
              <button type="button" class="remove" aria-label={`Remove ${name}`} title="Remove" onClick={() => forget(name)}>×</button>
            </li>
          ))}
        </ul>
      </details>
      <details open>
        <summary>Tables and metrics</summary>
        <input type="search" placeholder="find" aria-label="Find a table, column or metric" data-testid="find-table" value={sought} onInput={(event) => setSought(event.currentTarget.value)} />
        {tables.map((table) => (
          <TableEntry key={nameOf(table)} table={table} sought={sought} insert={insert} />
        ))}
        {macros.length > 0 && (
          <details class="table" open={sought !== ""}>
            <summary title="Every ratio and quantile is a macro over additive parts">
              metrics <small>{macros.length}</small>
            </summary>
            <ul>
              {macros.map(({ name, parameters, comment, unit }) => (
                <li>
                  <button type="button" title={`${name}(${parameters.join(", ")}): ${comment}`} onClick={() => insert(`${name}(${parameters.join(", ")})`)}>
                    {name} <small>{unit}</small>
                  </button>
                </li>
              ))}
            </ul>
          </details>
        )}
      </details>
    </aside>
  );
}

function TableEntry({ table, sought, insert }: { readonly table: Table; readonly sought: string; readonly insert: Props["insert"] }) {
  const name = nameOf(table);
  return (
    <details class="table" open={sought !== "" && !name.includes(sought.toLowerCase())} data-testid={`shelf.${name}`}>
      <summary title={table.comment}>{name}</summary>
      <ul>
        <li>
          <button type="button" onClick={() => insert(name)}>insert the name</button>
        </li>
        {table.columns
          .filter((column) => name.includes(sought.toLowerCase()) || column.name.includes(sought.toLowerCase()))
          .map((column) => (
            <li>
              <button type="button" title={column.comment ?? ""} onClick={() => insert(column.name)}>
                {column.name} <small>{column.unit ?? column.type.toLowerCase()}</small>
              </button>
            </li>
          ))}
      </ul>
    </details>
  );
}

const fits = (table: Table, sought: string): boolean =>
  [nameOf(table), ...table.columns.map(({ name }) => name)].some((name) => name.includes(sought.toLowerCase()));
