/** AG Grid with what we use of it, in a bundle of its own: it is as large as everything else together. */

import {
  CellStyleModule,
  ClientSideRowModelModule,
  ColumnApiModule,
  type GridApi,
  ModuleRegistry,
  RowStyleModule,
  TooltipModule,
  createGrid,
  themeQuartz,
} from "ag-grid-community";
import { onWall } from "../theme";

ModuleRegistry.registerModules([ClientSideRowModelModule, CellStyleModule, ColumnApiModule, RowStyleModule, TooltipModule]);

/** Colours are the palette's own variables, so that they change with the theme. */
const theme = themeQuartz.withParams({
  accentColor: "var(--accent)",
  backgroundColor: "var(--panel)",
  foregroundColor: "var(--text)",
  headerBackgroundColor: "var(--panel)",
  headerTextColor: "var(--muted)",
  borderColor: "var(--line)",
  rowHoverColor: "var(--line)",
  tooltipBackgroundColor: "var(--raised)",
  fontFamily: "inherit",
  fontSize: "0.87rem",
  headerFontSize: "0.76rem",
  headerFontWeight: 400,
  spacing: "0.35rem",
  wrapperBorder: false,
  browserColorScheme: "inherit",
});

interface Wishes {
  readonly label: string;
  readonly id: (row: object) => string;
  readonly open: (row: object) => void;
}

export function make(box: HTMLElement, { label, id, open }: Wishes): GridApi<object> {
  const grid = createGrid<object>(box, {
    theme,
    rowHeight: onWall(27),
    headerHeight: onWall(30),
    defaultColDef: { sortable: true, resizable: true, suppressMovable: true },
    getRowId: ({ data }) => id(data),
    tooltipShowDelay: 300,
    overlayNoRowsTemplate: "<span>nothing</span>",
    onRowClicked: ({ data }) => data && open(data),
    onCellKeyDown: ({ data, event }) => {
      if (data && event instanceof KeyboardEvent && event.key === "Enter") open(data);
    },
  });
  box.querySelector("[role=grid], [role=treegrid]")?.setAttribute("aria-label", label);
  return grid;
}
