/** What can be written in a query: tables, columns, metrics and functions, with their meanings. */

import type { Catalog, Column, Table } from "./catalog";

/** A completion as the editor's library has it. */
export interface Word {
  readonly label: string;
  readonly type: string;
  readonly detail?: string;
  readonly info?: string;
  readonly apply?: string;
  readonly boost?: number;
}

export const nameOf = ({ schema, name }: Table): string => `${schema}.${name}`;

/** Tables by schema, for what stands behind a dot. */
export function namespaceOf({ tables }: Catalog): Record<string, Record<string, unknown>> {
  const schemas: Record<string, Record<string, unknown>> = {};
  for (const table of tables) {
    const self: Word = { label: table.name, type: "type", info: table.comment };
    (schemas[table.schema] ??= {})[table.name] = { self, children: table.columns.map(columnWord) };
  }
  return schemas;
}

/** The tables that a query names; after FROM and JOIN also without their schema. */
export function tablesIn(text: string, { tables }: Catalog): readonly Table[] {
  const named = new Set([...text.matchAll(/\b(?:from|join)\s+([\w.]+)|,\s*(\w+\.\w+)/gi)].map(([, one, other]) => (one ?? other ?? "").toLowerCase()));
  return tables.filter((table) => named.has(nameOf(table)) || named.has(table.name));
}

export function completionsOf(catalog: Catalog, read: readonly Table[]): Word[] {
  const columns = new Map(read.flatMap((table) => table.columns).map((column) => [column.name, columnWord(column)]));
  return [
    ...[...columns.values()].map((word) => ({ ...word, boost: 3 })),
    ...catalog.macros.map(({ name, parameters, comment }) => ({
      label: name,
      type: "function",
      detail: `(${parameters.join(", ")})`,
      info: comment,
      apply: `${name}(`,
      boost: 2,
    })),
    ...catalog.tables.map((table) => ({ label: nameOf(table), type: "type", info: table.comment, boost: 1 })),
    ...catalog.functions.map((name) => ({ label: name, type: "function", detail: "()", apply: `${name}(` })),
  ];
}

function columnWord({ name, type, unit, comment }: Column): Word {
  return { label: name, type: "property", detail: unit ?? type.toLowerCase(), ...(comment === null ? {} : { info: comment }) };
}
