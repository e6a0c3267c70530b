/** A quick chart of an answer: what it shows is guessed, and can be chosen. */

import { useMemo, useState } from "preact/hooks";
import { Chart } from "../charts/chart";
import { SERIES_COLOURS, quickChart } from "../charts/quick";
import { type Choice, KINDS, MOST_CATEGORIES, guess, pointsOf } from "../data/quick";
import type { Result } from "../data/sql-run";
import { kindOf, shortUnit, shown } from "../data/values";
import { count } from "../format";
import { palette, rem } from "../theme";

interface Props {
  readonly result: Result;
}

export function SqlChart({ result }: Props) {
  const [chosen, setChosen] = useState<Choice | null>(() => guess(result));
  const columns = result.columns.map(({ name, type, unit }, place) => ({ name, kind: kindOf(type), unit: shortUnit(unit), place }));
  const colour = palette.value;
  const points = useMemo(() => (chosen === null ? null : pointsOf(result, chosen)), [result, chosen]);
  const option = useMemo(() => {
    if (chosen === null || points === null) return null;
    const [x, y] = [columns[chosen.x], columns[chosen.y]];
    const unit = y?.unit ?? "";
    const kindOfX = x?.kind === "time" ? "time" : x?.kind === "number" && chosen.kind !== "bar" ? "value" : "category";
    const cut = points.series.map((one) => ({ ...one, data: kindOfX === "category" ? one.data.slice(0, MOST_CATEGORIES) : one.data }));
    const format = (value: number) => (Math.abs(value) >= 1e6 ? count(value, unit) : shown(value, "number", unit));
    return quickChart(cut, chosen, { x: x?.name ?? "", y: y?.name ?? "", kindOfX, format }, colour, rem());
  }, [points, chosen, colour]);
  if (chosen === null || points === null || option === null) {
    return <p class="note" data-testid="no-chart">{result.row_count === 0 ? "No rows, so nothing to draw." : "Nothing to draw: a chart needs a column of numbers, and another one to draw it by."}</p>;
  }
  const numbers = columns.filter(({ kind }) => kind === "number");
  const names = columns.filter(({ kind, place }) => kind !== "nested" && place !== chosen.y);
  const most = Math.max(...points.series.map(({ data }) => data.length));
  const isCut = chosen.kind === "bar" && columns[chosen.x]?.kind !== "time" && most > MOST_CATEGORIES;
  return (
    <div class="quick" data-testid="chart" data-kind={chosen.kind} data-series={points.series.length}>
      <div class="controls">
        <Pick label="Draw" value={chosen.kind} options={KINDS.map((kind) => [kind, kind])} pick={(kind) => setChosen({ ...chosen, kind: kind as Choice["kind"] })} />
        <Pick label="of" value={chosen.y} options={numbers.map(({ place, name }) => [place, name])} pick={(y) => setChosen({ ...chosen, y: Number(y) })} />
        <Pick label="by" value={chosen.x} options={names.map(({ place, name }) => [place, name])} pick={(x) => setChosen({ ...chosen, x: Number(x) })} />
        <Pick
          label="a colour for each"
          value={chosen.by ?? ""}
          options={[["", "–"], ...names.filter(({ place }) => place !== chosen.x).map(({ place, name }) => [place, name] as [number, string])]}
          pick={(by) => setChosen({ ...chosen, by: by === "" ? null : Number(by) })}
        />
        {chosen.by !== null && (
          <ul class="legend">
            {points.series.map(({ name }, i) => (
              <li>
                <i style={{ background: `var(--${SERIES_COLOURS[i % SERIES_COLOURS.length]})` }} />
                {name}
              </li>
            ))}
          </ul>
        )}
        {points.left_out > 0 && <small>the largest {points.series.length} of {points.series.length + points.left_out}</small>}
        {isCut && <small>the first {MOST_CATEGORIES} of {most}</small>}
      </div>
      <Chart option={option} label={`${columns[chosen.y]?.name} by ${columns[chosen.x]?.name}`} />
    </div>
  );
}

interface PickProps {
  readonly label: string;
  readonly value: string | number;
  readonly options: readonly (readonly [string | number, string])[];
  readonly pick: (value: string) => void;
}

function Pick({ label, value, options, pick }: PickProps) {
  return (
    <label>
      {label}
      <select value={value} data-testid={`pick.${label}`} onChange={(event) => pick(event.currentTarget.value)}>
        {options.map(([one, name]) => (
          <option value={one}>{name}</option>
        ))}
      </select>
    </label>
  );
}
