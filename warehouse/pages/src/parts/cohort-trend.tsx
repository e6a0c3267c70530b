/** How the cohort went, beside everything. */

import { useMemo } from "preact/hooks";
import { Chart } from "../charts/chart";
import { cohortTrendChart } from "../charts/cohort-trend";
import { type CohortQuestion, titleOf, valueName } from "../data/cohorts";
import type { CohortCatalog, CohortTrend, MeasureOption } from "../data/protocol";
import { age, measured, together } from "../format";
import { palette, rem } from "../theme";
import { Number } from "./figure";

interface Props {
  readonly catalog: CohortCatalog;
  readonly asked: CohortQuestion;
  readonly measure: MeasureOption;
  readonly found: CohortTrend;
  readonly isOld: boolean;
}

export function CohortTrendPanel({ catalog, asked, measure, found, isOld }: Props) {
  const colour = palette.value;
  const name = asked.where.map(({ dimension, value }) => `${titleOf(catalog, dimension)} ${valueName(value)}`).join(" · ");
  const option = useMemo(() => cohortTrendChart(found, measure, name, colour, rem()), [found, measure, name, colour]);
  const last = found.cohort.value.at(-1) ?? null;
  const from = found.basis.source === "sessions" ? "by the start of sessions" : "by minutes";
  return (
    <section class={isOld ? "panel over-time old" : "panel over-time"} aria-busy={isOld}>
      <h2>
        {measure.title} over time
        <small>
          a point is {age(found.step_s * 1_000)}, {from}; last{" "}
          <Number id="trend.last" value={last} figure={measured(last, measure.unit)} />
        </small>
        <ul class="legend">
          {name && (
            <li>
              <i style={{ background: "var(--stalled)" }} />
              {name}
            </li>
          )}
          <li>
            <i style={{ background: "var(--viewers)" }} />
            everything
          </li>
        </ul>
      </h2>
      {found.cohort.at.length === 0 ? (
        <p class="note">Nothing in this stretch.</p>
      ) : (
        <Chart option={option} label={`${measure.title} of ${name || "everything"} over time, last ${together(measured(last, measure.unit))}`} />
      )}
    </section>
  );
}
