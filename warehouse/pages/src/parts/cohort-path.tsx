/** Where in the cohorts one is: each step leads back; the whole's value; what the answer was made of, and how fresh it is. */

import { type CohortQuestion, type Filter, change, drill, titleOf, valueName } from "../data/cohorts";
import type { Basis, CohortCatalog, Cohorts, MeasureOption } from "../data/protocol";
import { linkTo } from "../data/sql-text";
import { now } from "../data/store";
import { age, measured, moment, rate, timeSeconds, together } from "../format";
import { Number } from "./figure";

interface Props {
  readonly catalog: CohortCatalog;
  readonly asked: CohortQuestion;
  readonly measure: MeasureOption;
  readonly found: Cohorts | null;
}

export function CohortPath({ catalog, asked, measure, found }: Props) {
  const whole = found?.whole ?? null;
  const worst = found !== null && found.small_from > 0 && measure.worse !== null ? found.cells[0] : undefined;
  return (
    <section class="panel path" aria-label="Cohort">
      <nav aria-label="Cohort" data-testid="path">
        <button type="button" disabled={asked.where.length === 0} onClick={() => change({ where: [] })}>
          Everything
        </button>
        {asked.where.map((filter, place) => (
          <>
            <i aria-hidden="true">›</i>
            <Step filter={filter} title={titleOf(catalog, filter.dimension)} {...{ asked, place }} />
          </>
        ))}
        {worst && (
          <button
            type="button"
            class="worst"
            data-testid="worst"
            onClick={() => drill(worst.values.map((value, i) => ({ dimension: asked.by[i] ?? "", value })))}
          >
            Worst: {worst.values.map(valueName).join(" · ")} →
          </button>
        )}
      </nav>
      {found && (
        <p class="value" title={`${measure.meaning} ${measure.formula}`}>
          {measure.title}{" "}
          <Number id="whole" value={whole?.value} figure={measured(whole?.value, measure.unit)} class="big" />
          {whole?.sample != null && measure.sample_unit && <small> of {together(rate(whole.sample, measure.sample_unit))}</small>}
          {measure.worse && <small> · {measure.worse} is worse</small>}
        </p>
      )}
      {found?.sql && (
        <a class="as-sql" href={linkTo(found.sql)} data-testid="as-sql" title="The query behind the table below, to go on from">
          Open as SQL
        </a>
      )}
      {found && <Made basis={found.basis} />}
    </section>
  );
}

function Step({ filter, title, asked, place }: { readonly filter: Filter; readonly title: string; readonly asked: CohortQuestion; readonly place: number }) {
  return (
    <span class="step">
      <button
        type="button"
        disabled={place === asked.where.length - 1}
        title="Back to this step"
        onClick={() => change({ where: asked.where.slice(0, place + 1) })}
      >
        <small>{title}</small> {valueName(filter.value)}
      </button>
      <button
        type="button"
        aria-label={`Without ${title} ${valueName(filter.value)}`}
        title="Without this step"
        onClick={() => change({ where: asked.where.filter((one) => one !== filter) })}
      >
        ×
      </button>
    </span>
  );
}

export function Made({ basis }: { readonly basis: Basis }) {
  const { publish } = basis;
  const stretch = `${moment(basis.start_at, now.value)} to ${moment(basis.stop_at, now.value)}`;
  const published = publish.published_at === null ? "nothing is published yet" : `published ${age(now.value - publish.published_at)} ago`;
  if (basis.source === "sessions") {
    return (
      <p class="made" data-testid="basis" data-source="sessions">
        Published sessions, {stretch} ({published}). {basis.why} Younger sessions come with the next publish.
      </p>
    );
  }
  return (
    <p class="made" data-testid="basis" data-source={basis.source ?? ""}>
      Minutes, {stretch}
      {publish.cutover_minute !== null && basis.start_at < publish.cutover_minute * 1_000 && (
        <>: audited history before {moment(publish.cutover_minute * 1_000, now.value)} ({published})</>
      )}
      {basis.live_at !== null && (
        <>
          , live up to {timeSeconds(basis.live_at)} ({age(now.value - basis.live_at)} old)
        </>
      )}
    </p>
  );
}
