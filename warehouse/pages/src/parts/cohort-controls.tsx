/** What is asked: metric, dimensions, stretch of time, smallest sample. Every choice is a step of the address. */

import { type CohortQuestion, SPANS, type Stretch, change } from "../data/cohorts";
import type { CohortCatalog } from "../data/protocol";
import { now } from "../data/store";

interface Props {
  readonly catalog: CohortCatalog;
  readonly asked: CohortQuestion;
}

export function CohortControls({ catalog, asked }: Props) {
  const subjects = [...new Set(catalog.measures.map(({ subject }) => subject))];
  const measure = catalog.measures.find(({ name }) => name === asked.metric);
  const [rows = "", columns = ""] = asked.by;
  return (
    <form class="panel controls" aria-label="Question" onSubmit={(event) => event.preventDefault()}>
      <label>
        Metric
        <select data-testid="metric" value={asked.metric} onChange={(event) => change({ metric: event.currentTarget.value })}>
          {subjects.map((subject) => (
            <optgroup label={subject}>
              {catalog.measures
                .filter((one) => one.subject === subject)
                .map(({ name, title, why_not }) => (
                  <option value={name} title={why_not} selected={name === asked.metric}>
                    {title}
                    {why_not && " (not by cohort)"}
                  </option>
                ))}
            </optgroup>
          ))}
        </select>
      </label>
      <Dimension label="by" id="rows" value={rows} other={columns} {...{ catalog, asked }} choose={(name) => change({ by: [name, columns].filter(Boolean) })} />
      <Dimension label="and" id="columns" value={columns} other={rows} isOptional {...{ catalog, asked }} choose={(name) => change({ by: [rows, name].filter(Boolean) })} />
      <Stretches stretch={asked.stretch} />
      <label title="Cohorts with less are drawn pale and not ranked">
        at least
        <input
          type="number"
          min="0"
          step="1"
          data-testid="least"
          value={asked.least}
          onChange={(event) => change({ least: Math.max(0, event.currentTarget.valueAsNumber || 0) }, true)}
        />
        {measure?.sample_unit ?? "(a sum has no sample)"}
      </label>
    </form>
  );
}

interface DimensionProps extends Props {
  readonly label: string;
  readonly id: string;
  readonly value: string;
  readonly other: string;
  readonly isOptional?: boolean;
  readonly choose: (name: string) => void;
}

function Dimension({ label, id, value, other, isOptional = false, catalog, asked, choose }: DimensionProps) {
  const given = asked.where.map(({ dimension }) => dimension);
  return (
    <label>
      {label}
      <select data-testid={id} value={value} onChange={(event) => choose(event.currentTarget.value)}>
        {isOptional && (
          <option value="" selected={value === ""}>
            nothing else
          </option>
        )}
        {catalog.dimensions.map(({ name, title }) => (
          <option value={name} disabled={name === other || given.includes(name)} selected={name === value}>
            {title}
          </option>
        ))}
      </select>
    </label>
  );
}

function Stretches({ stretch }: { readonly stretch: Stretch }) {
  const end = Math.floor(now.peek() / 60_000) * 60;
  const [from, to] = stretch.span > 0 ? [end - stretch.span, end] : [stretch.from, stretch.to];
  const between = (part: Partial<Stretch>) => {
    const wished = { from, to, ...part, span: 0 };
    if (wished.from < wished.to) change({ stretch: wished });
  };
  return (
    <>
      <fieldset class="ranges">
        <legend class="hidden">Time range</legend>
        {Object.entries(SPANS).map(([name, span]) => (
          <label>
            <input type="radio" name="span" checked={stretch.span === span} onChange={() => change({ stretch: { span, from: 0, to: 0 } })} />
            <span>{name}</span>
          </label>
        ))}
      </fieldset>
      <Moment label="from" at={from} choose={(at) => between({ from: at })} />
      <Moment label="to" at={to} choose={(at) => between({ to: at })} />
    </>
  );
}

function Moment({ label, at, choose }: { readonly label: string; readonly at: number; readonly choose: (at: number) => void }) {
  const local = new Date(at * 1_000 - new Date(at * 1_000).getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
  return (
    <label>
      {label}
      <input
        type="datetime-local"
        data-testid={label}
        value={local}
        onChange={(event) => {
          const chosen = new Date(event.currentTarget.value).getTime();
          if (Number.isFinite(chosen)) choose(Math.floor(chosen / 60_000) * 60);
        }}
      />
    </label>
  );
}
