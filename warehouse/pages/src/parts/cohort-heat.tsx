/** One metric by one or two dimensions as a grid of heat: the worst row on top, each cell a way into its cohort. */

import { type CohortQuestion, type Filter, change, drill, titleOf, valueName } from "../data/cohorts";
import type { CohortCatalog, CohortValue, Cohorts, MeasureOption } from "../data/protocol";
import { measured, rate, together } from "../format";

const ROWS = 14;
const COLUMNS = 9;

interface Props {
  readonly catalog: CohortCatalog;
  readonly asked: CohortQuestion;
  readonly measure: MeasureOption;
  readonly found: Cohorts;
}

const keyOf = (values: readonly (string | null)[]): string => JSON.stringify(values);

export function CohortHeat({ catalog, asked, measure, found }: Props) {
  const [first = "", second] = asked.by;
  const isSmall = (cell: CohortValue) => cell.sample !== null && cell.sample < asked.least;
  const totals = second === undefined ? found.cells : [...found.totals].sort((a, b) => +isSmall(a) - +isSmall(b));
  const rows = totals.slice(0, ROWS);
  const columns = second === undefined ? [] : largest(found.cells).slice(0, COLUMNS);
  const cell = new Map(found.cells.map((one) => [keyOf(one.values), one]));
  const warmth = scale(found, measure);
  const left = totals.length - rows.length;
  if (found.cells.length === 0) {
    return (
      <section class="panel heat none" data-testid="no-cohorts">
        <h2>Nobody was there</h2>
        <p class="note">No {found.basis.source === "minutes" ? "minute" : "published session"} of this stretch belongs to this cohort.</p>
        <p>
          <button type="button" onClick={() => change({ stretch: { span: 86_400, from: 0, to: 0 } })}>The last 24 h</button>{" "}
          {asked.where.length > 0 && <button type="button" onClick={() => change({ where: [] })}>Everything</button>}
        </p>
      </section>
    );
  }
  const heat = (one: CohortValue | undefined, filters: readonly Filter[], id: string) => (
    <Cell {...{ one, filters, id, measure }} isSmall={one !== undefined && isSmall(one)} heat={one ? warmth(one) : 0} />
  );
  return (
    <section class="panel heat">
      <h2>
        {measure.title} by {titleOf(catalog, first).toLowerCase()}
        {second && ` and ${titleOf(catalog, second).toLowerCase()}`}
        <small>{measure.worse ? "worst first, warmer is worse than the whole; pale: too small a sample" : "largest first"}</small>
      </h2>
      <div class="scroll">
        <table onKeyDown={walk}>
          <thead>
            <tr>
              <th scope="col">{titleOf(catalog, first)}</th>
              {columns.map((value) => (
                <th scope="col">{valueName(value)}</th>
              ))}
              <th scope="col">{second === undefined ? measure.title : "all"}</th>
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => {
              const [value = null] = row.values;
              const filter = { dimension: first, value };
              return (
                <tr key={keyOf(row.values)}>
                  <th scope="row" title={valueName(value)}>{valueName(value)}</th>
                  {columns.map((other) =>
                    heat(cell.get(keyOf([value, other])), [filter, { dimension: second ?? "", value: other }], `cell.${value}.${other}`),
                  )}
                  {heat(row, [filter], `cell.${value}`)}
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
      {left + found.left_out > 0 && <p class="note">{left + found.left_out} more: narrow the cohort, or see the list.</p>}
    </section>
  );
}

interface CellProps {
  readonly one: CohortValue | undefined;
  readonly filters: readonly Filter[];
  readonly id: string;
  readonly measure: MeasureOption;
  readonly isSmall: boolean;
  readonly heat: number;
}

function Cell({ one, filters, id, measure, isSmall, heat }: CellProps) {
  if (one === undefined) return <td class="none" />;
  const { text, unit } = measured(one.value, measure.unit);
  const sample = one.sample === null || !measure.sample_unit ? "" : `of ${together(rate(one.sample, measure.sample_unit))}`;
  return (
    <td class={isSmall ? "few" : ""} style={{ "--heat": `${Math.round(heat * 100)}%` }}>
      <button type="button" title={sample} data-testid={id} data-value={one.value ?? ""} data-sample={one.sample ?? ""} onClick={() => drill(filters)}>
        <span class="number">
          {text}
          {unit && <small>{"\u202f" + unit}</small>}
        </span>
      </button>
    </td>
  );
}

/** Values of the second dimension, those of the largest sample first. */
function largest(cells: readonly CohortValue[]): (string | null)[] {
  const size = new Map<string | null, number>();
  for (const { values, sample, value } of cells) size.set(values[1] ?? null, (size.get(values[1] ?? null) ?? 0) + (sample ?? value ?? 0));
  return [...size].sort(([, a], [, b]) => b - a).map(([value]) => value);
}

/** From the whole's value (nothing) to the worst of those with enough of a sample (all). */
function scale({ cells, small_from, whole }: Cohorts, { worse }: MeasureOption): (cell: CohortValue) => number {
  const values = cells.slice(0, small_from).flatMap(({ value }) => (value === null ? [] : [value]));
  const base = worse === null ? 0 : (whole?.value ?? 0);
  const end = worse === "lower" ? Math.min(...values) : Math.max(...values);
  return ({ value }) => (value === null || end === base || !Number.isFinite(end) ? 0 : Math.max(0, Math.min(1, (value - base) / (end - base))));
}

/** Arrow keys go from cell to cell. */
function walk(event: KeyboardEvent): void {
  const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
  const td = (event.target as HTMLElement).closest("td");
  if (step === undefined || td === null) return;
  const [down = 0, right = 0] = step;
  const row = (td.parentElement as HTMLTableRowElement).sectionRowIndex + down;
  const body = td.closest("tbody")?.rows;
  const next = body?.[row]?.cells[td.cellIndex + right]?.querySelector("button");
  if (!next) return;
  event.preventDefault();
  next.focus();
}
