/** Session: one view's timeline, and what the metrics made of it. */

import { useState } from "preact/hooks";
import { useAnswer } from "../data/answer";
import { publishId } from "../data/beat";
import type { SessionSearch, SessionView } from "../data/protocol";
import { open, search, sessionId, wanted } from "../data/session";
import { now } from "../data/store";
import { Down } from "../parts/down";
import { SessionEvents } from "../parts/session-events";
import { SessionFigures, SessionHead } from "../parts/session-figures";
import { SessionHits } from "../parts/session-hits";
import { SessionTimeline } from "../parts/session-timeline";
import { age, moment } from "../format";

export function Session() {
  const publish = publishId();
  const id = sessionId.value;
  const find = wanted.value;
  const found = useAnswer<SessionSearch>(find === "" ? null : `/v1/dashboard/sessions?find=${encodeURIComponent(find)}`, publish);
  // A search that finds the session of that very id needs no list.
  const only = found.isCurrent && found.value?.hits.length === 1 ? found.value.hits[0] : undefined;
  const shown = id ?? only?.session_id ?? null;
  const view = useAnswer<SessionView>(shown === null ? null : `/v1/dashboard/sessions/${encodeURIComponent(shown)}`, publish);
  const problem = view.problem || found.problem;
  return (
    <main class="session" data-testid="session">
      <Down />
      <Find key={find} text={find} isFirst={shown === null} />
      {problem && <p class="banner" role="alert" data-testid="problem">{problem}</p>}
      {find !== "" && id === null && found.value && only === undefined && <SessionHits found={found.value} open={open} />}
      {shown !== null && view.value === null && !problem && <p class="note" role="status">Reading the session and its events.</p>}
      {shown !== null && view.value && <Shown view={view.value} isOld={!view.isCurrent} />}
      {shown === null && find === "" && <Start />}
    </main>
  );
}

function Find({ text, isFirst }: { readonly text: string; readonly isFirst: boolean }) {
  const [typed, setTyped] = useState(text);
  return (
    <form
      class="panel controls find"
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        if (typed.trim() !== "") search(typed.trim());
      }}
    >
      <label>
        Session or user
        <input
          type="search"
          data-testid="find"
          size={44}
          autofocus={isFirst}
          spellcheck={false}
          placeholder="session id or user id, exactly"
          value={typed}
          onInput={(event) => setTyped(event.currentTarget.value)}
        />
      </label>
      <button type="submit">Find</button>
    </form>
  );
}

function Start() {
  return (
    <section class="first-event" data-testid="start">
      <h1>What happened to one viewer?</h1>
      <p>
        Search by the id of a session or of a user. Or start from a cohort: the list of sessions on <a href="/cohorts">Quality</a> leads here, the
        worst first.
      </p>
    </section>
  );
}

function Shown({ view, isOld }: { readonly view: SessionView; readonly isOld: boolean }) {
  if (view.started_at === null) return <Missing view={view} />;
  return (
    <div class={isOld ? "story old" : "story"} aria-busy={isOld}>
      <SessionHead view={view} />
      <SessionTimeline view={view} />
      <div class="details">
        <SessionEvents view={view} />
        <SessionFigures view={view} />
      </div>
    </div>
  );
}

function Missing({ view }: { readonly view: SessionView }) {
  const { published_at, cutover_minute } = view.publish;
  return (
    <section class="first-event" data-testid="missing">
      <h1>No published session has this id</h1>
      <p>
        <code>{view.session_id}</code>{" "}
        {published_at === null
          ? "cannot be looked up before the first publish."
          : `is not among the published sessions, which were published ${age(now.value - published_at)} ago` +
            (cutover_minute === null ? "." : ` and are whole up to ${moment(cutover_minute * 1_000, now.value)}. A younger session comes with the next publish; older ones are in the lake's silver.sessions.`)}
      </p>
    </section>
  );
}
