/** What can be asked in SQL: the answer of `GET /v1/catalog` (warehouse/catalog.py). */

export interface Column {
  readonly name: string;
  readonly type: string;
  readonly unit: string | null;
  readonly comment: string | null;
}

export interface Table {
  readonly schema: string;
  readonly name: string;
  readonly comment: string;
  readonly columns: readonly Column[];
}

export interface Macro {
  readonly name: string;
  readonly parameters: readonly string[];
  readonly comment: string;
  readonly unit: string | null;
}

/** What a query may have. */
export interface Limits {
  readonly max_rows: number;
  readonly timeout_s: number;
}

export interface Catalog {
  readonly publish_id: string | null;
  readonly tables: readonly Table[];
  readonly macros: readonly Macro[];
  readonly keywords: readonly string[];
  readonly functions: readonly string[];
  readonly limits: Limits;
}

/** Meanings by the names of columns and metrics: a name means the same wherever it stands. */
export function meaningsOf(catalog: Catalog): ReadonlyMap<string, string> {
  const named = [...catalog.tables.flatMap(({ columns }) => columns), ...catalog.macros];
  return new Map(named.flatMap(({ name, comment }) => (comment ? [[name, comment] as const] : [])));
}

export async function fetchCatalog(): Promise<Catalog> {
  const answer = await fetch("/v1/catalog");
  if (answer.ok) return (await answer.json()) as Catalog;
  const problem = (await answer.json().catch(() => null)) as { error?: { message?: string } } | null;
  throw new Error(problem?.error?.message ?? `the server answered ${answer.status}`);
}
