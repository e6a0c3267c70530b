/** Rows to look through: sorted by a click on a column, walked through by keyboard. Loaded when a page needs it. */

import type { ColDef } from "ag-grid-community";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Figure } from "../format";
import { onWall } from "../theme";

export interface Column<R> {
  readonly name: string;
  readonly title: string;
  /** For the pointer: what the numbers mean. */
  readonly hint?: string;
  readonly value: (row: R) => string | number | null;
  /** How the value is shown; the value itself when there is none. */
  readonly figure?: (row: R) => Figure;
  /** Left, as text is, although it has a figure. */
  readonly isText?: boolean;
  readonly width?: number;
  /** Takes the room that is left. */
  readonly isWide?: boolean;
}

interface Props<R> {
  readonly columns: readonly Column<R>[];
  readonly rows: readonly R[];
  readonly label: string;
  /** What a row is told apart by. */
  readonly id: (row: R) => string;
  /** Where a row leads, by click or Enter. */
  readonly open?: (row: R) => void;
  readonly height?: string;
}

type Made = Awaited<ReturnType<typeof load>>;
const load = () => import("./data-grid-library");

export function DataGrid<R>({ columns, rows, label, id, open, height = "22rem" }: Props<R>) {
  const box = useRef<HTMLDivElement>(null);
  const grid = useRef<ReturnType<Made["make"]> | null>(null);
  const latest = useRef({ id, open, columns, rows });
  latest.current = { id, open, columns, rows };
  const [problem, setProblem] = useState("");

  useEffect(() => {
    let isGone = false;
    load().then(
      ({ make }) => {
        if (isGone || !box.current) return;
        grid.current = make(box.current, {
          label,
          id: (row) => latest.current.id(row as R),
          open: (row) => latest.current.open?.(row as R),
        });
        const { columns, rows } = latest.current; // what has come while the library was loaded
        grid.current.updateGridOptions({ columnDefs: columns.map(definition), rowData: [...rows] as object[] });
      },
      (error: Error) => setProblem(error.message),
    );
    return () => {
      isGone = true;
      grid.current?.destroy();
      grid.current = null;
    };
  }, []);
  useEffect(() => {
    grid.current?.setGridOption("columnDefs", columns.map(definition));
  }, [columns]);
  useEffect(() => {
    grid.current?.setGridOption("rowData", [...rows] as object[]);
  }, [rows]);

  if (problem) return <p class="note">The grid cannot be loaded: {problem}</p>;
  return <div ref={box} class={open ? "grid opens" : "grid"} style={{ height }} />;
}

/** Cells of about so many characters are cut; the pointer shows all of them. */
const LONG = 24;

function definition<R>(column: Column<R>): ColDef<object> {
  const { name, title, hint, value, figure, isText = false, width, isWide = false } = column;
  return {
    colId: name,
    headerName: title,
    headerTooltip: hint ?? title,
    valueGetter: ({ data }) => (data ? value(data as R) : null),
    type: figure && !isText ? "rightAligned" : undefined,
    ...(isWide ? { flex: 1, minWidth: onWall(width ?? 120) } : { width: onWall(width ?? 100) }),
    cellRenderer: ({ data }: { data: R }) => {
      const shown = document.createElement("span");
      const raw = value(data);
      shown.dataset.testid = `cell.${name}`;
      shown.dataset.value = raw === null ? "" : String(raw);
      const { text, unit } = figure ? figure(data) : { text: raw === null ? "" : String(raw), unit: "" };
      shown.textContent = text;
      if (figure) shown.className = raw === null ? "number nothing" : "number";
      if (text.length > LONG) shown.title = text;
      if (unit) shown.append(Object.assign(document.createElement("small"), { textContent: `\u202f${unit}` }));
      return shown;
    },
  } as ColDef<object>;
}
