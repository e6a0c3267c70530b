/** Quality: any metric by any two dimensions, down to the worst cohort, how it went, and the sessions behind it. */

import { useMemo } from "preact/hooks";
import { useAnswer } from "../data/answer";
import { beat } from "../data/beat";
import { type CohortQuestion, question, urlOf } from "../data/cohorts";
import type { CohortCatalog, CohortTrend, Cohorts, MeasureOption, SessionList } from "../data/protocol";
import { fresh } from "../data/store";
import { CohortControls } from "../parts/cohort-controls";
import { CohortHeat } from "../parts/cohort-heat";
import { CohortList } from "../parts/cohort-list";
import { CohortPath } from "../parts/cohort-path";
import { CohortTrendPanel } from "../parts/cohort-trend";
import { CohortSessions } from "../parts/cohort-sessions";
import { Down } from "../parts/down";

export function Quality() {
  const catalog = useAnswer<CohortCatalog>("/v1/dashboard/cohorts/catalog");
  const asked = question.value;
  if (catalog.value === null) {
    return (
      <main class="waiting" data-testid="waiting">
        <p>{catalog.problem || "Asking what there is to ask."}</p>
      </main>
    );
  }
  const measure = catalog.value.measures.find(({ name }) => name === asked.metric);
  return (
    <main class="quality" data-testid="cohorts">
      <Down />
      <CohortControls catalog={catalog.value} asked={asked} />
      {measure === undefined ? (
        <p class="banner" role="alert">There is no metric called {asked.metric}. Choose one above.</p>
      ) : (
        <Answers catalog={catalog.value} asked={asked} measure={measure} />
      )}
    </main>
  );
}

interface Props {
  readonly catalog: CohortCatalog;
  readonly asked: CohortQuestion;
  readonly measure: MeasureOption;
}

function Answers({ catalog, asked, measure }: Props) {
  const isMoving = asked.stretch.span > 0;
  const cohorts = useAnswer<Cohorts>(urlOf("", asked), beat(isMoving));
  const trend = useAnswer<CohortTrend>(urlOf("/trend", asked), beat(isMoving));
  const sessions = useAnswer<SessionList>(urlOf("/sessions", asked), beat(isMoving, 60_000));
  // A new second is no new answer: what is equal stays, so that nothing below is drawn again.
  const shown = useSame(cohorts.value);
  const line = useSame(trend.value);
  const list = useSame(sessions.value);
  const isOld = !cohorts.isCurrent || fresh.value.state === "down";
  return (
    <>
      <CohortPath catalog={catalog} asked={asked} measure={measure} found={shown} />
      {cohorts.problem && <p class="banner" role="alert" data-testid="problem">{cohorts.problem}</p>}
      {shown !== null && shown.basis.source === null && (
        <p class="banner why" role="status" data-testid="why-not">{shown.basis.why}</p>
      )}
      {shown !== null && shown.basis.source !== null && (
        <div class={isOld ? "evidence old" : "evidence"} aria-busy={isOld} data-testid="evidence" data-current={cohorts.isCurrent}>
          <CohortHeat catalog={catalog} asked={asked} measure={measure} found={shown} />
          <CohortList catalog={catalog} asked={asked} measure={measure} found={shown} />
        </div>
      )}
      {line !== null && line.basis.source !== null && (
        <CohortTrendPanel catalog={catalog} asked={asked} measure={measure} found={line} isOld={!trend.isCurrent} />
      )}
      <CohortSessions asked={asked} measure={measure} found={list} problem={sessions.problem} isOld={!sessions.isCurrent} />
    </>
  );
}

function useSame<T>(value: T): T {
  const text = JSON.stringify(value);
  return useMemo(() => value, [text]);
}
