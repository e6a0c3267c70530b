/** Quality: any metric by any two dimensions, down to the worst cohort, how it went, and the sessions behind it. */

import { useMemo } from "preact/hooks";
import { useAnswer } from "../data/answer";
import { type CohortQuestion, question, urlOf } from "../data/cohorts";
import type { CohortCatalog, CohortTrend, Cohorts, MeasureOption, SessionList } from "../data/protocol";
import { fresh, live, now } from "../data/store";
import { CohortControls } from "../parts/cohort-controls";
import { CohortHeat } from "../parts/cohort-heat";
import { CohortList } from "../parts/cohort-list";
import { CohortPath } from "../parts/cohort-path";
import { CohortTrendPanel } from "../parts/cohort-trend";
import { CohortSessions } from "../parts/cohort-sessions";

/** Live minutes are asked for again this often; sessions change with a publish only. */
const BEAT_MS = 5_000;

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
      {fresh.value.state === "down" && (
        <p class="banner" role="alert" data-testid="down">
          The server does not answer. What is shown is its last answer; the page goes on by itself when it is back.
        </p>
      )}
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
  const publish = live.value?.publish.publish_id ?? null;
  const isMoving = asked.stretch.span > 0 && !document.hidden;
  const beat = `${publish} ${isMoving ? Math.floor(now.value / BEAT_MS) : ""}`;
  const cohorts = useAnswer<Cohorts>(urlOf("", asked), beat);
  const trend = useAnswer<CohortTrend>(urlOf("/trend", asked), beat);
  const sessions = useAnswer<SessionList>(urlOf("/sessions", asked), `${publish} ${isMoving ? Math.floor(now.value / 60_000) : ""}`);
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
