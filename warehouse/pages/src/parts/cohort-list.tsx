/** The cohorts as a list, worst first: value, sample, and how many times the whole's value it is. */

import { useMemo } from "preact/hooks";
import { type CohortQuestion, drill, titleOf, valueName } from "../data/cohorts";
import type { CohortCatalog, CohortValue, Cohorts, MeasureOption } from "../data/protocol";
import { NOTHING, count, measured, rate } from "../format";
import { type Column, DataGrid } from "./data-grid";

interface Props {
  readonly catalog: CohortCatalog;
  readonly asked: CohortQuestion;
  readonly measure: MeasureOption;
  readonly found: Cohorts;
}

export function CohortList({ catalog, asked, measure, found }: Props) {
  const by = asked.by.join(" ");
  const whole = found.whole?.value ?? null;
  const size = found.whole?.sample ?? null;
  const columns = useMemo<Column<CohortValue>[]>(
    () => [
      ...asked.by.map((name, place) => ({
        name,
        title: titleOf(catalog, name),
        value: (cell: CohortValue) => valueName(cell.values[place]),
        isWide: true,
        width: 90,
      })),
      {
        name: "value",
        title: measure.title,
        hint: measure.formula,
        value: (cell) => cell.value,
        figure: (cell) => measured(cell.value, measure.unit),
        width: 110,
      },
      {
        name: "times",
        title: "of the whole",
        hint: "how many times the value of all these cohorts together",
        value: (cell) => (cell.value === null || !whole ? null : cell.value / whole),
        figure: (cell) => (cell.value === null || !whole ? { text: NOTHING, unit: "" } : { text: (cell.value / whole).toFixed(2), unit: "×" }),
        width: 100,
      },
      ...(measure.sample_unit === null
        ? []
        : [
            {
              name: "sample",
              title: measure.sample_unit,
              hint: `what the value is made of: ${measure.sample_unit}`,
              value: (cell: CohortValue) => cell.sample,
              figure: (cell: CohortValue) => rate(cell.sample, ""),
              width: 105,
            },
            {
              name: "part",
              title: "share",
              hint: `of all ${measure.sample_unit}`,
              value: (cell: CohortValue) => (size ? (cell.sample ?? 0) / size : null),
              figure: (cell: CohortValue) => (size ? { text: (((cell.sample ?? 0) / size) * 100).toFixed(1), unit: "%" } : { text: NOTHING, unit: "" }),
              width: 80,
            },
          ]),
    ],
    [by, measure, whole, size],
  );
  const rows = useMemo(() => found.cells.slice(0, found.small_from), [found]);
  const small = found.cells.length - found.small_from;
  return (
    <section class="panel list">
      <h2>
        {measure.worse ? "Worst cohorts" : "Cohorts"}
        <small>
          {together(found.small_from)} with at least {asked.least} {measure.sample_unit ?? ""}
          {small > 0 && `, ${small} with less`}; click or Enter goes into one
        </small>
      </h2>
      <DataGrid
        label={`Cohorts by ${asked.by.join(" and ")}`}
        columns={columns}
        rows={rows}
        id={(cell) => JSON.stringify(cell.values)}
        open={(cell) => drill(cell.values.map((value, place) => ({ dimension: asked.by[place] ?? "", value })))}
      />
    </section>
  );
}

const together = (value: number): string => count(value).text;
