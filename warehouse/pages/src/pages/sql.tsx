/** SQL: a question in one's own words, over history and live; its rows, a chart of them, a link to it. */

import examples from "playlake:examples";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { type Catalog, fetchCatalog, meaningsOf } from "../data/catalog";
import { publishId } from "../data/beat";
import { current, run, stop } from "../data/sql-run";
import { LONGEST_LINK, draft, fits, keepDraft, keepInAddress, linkTo, linked, save } from "../data/sql-text";
import { count } from "../format";
import { Down } from "../parts/down";
import { SqlAnswer } from "../parts/sql-answer";
import { SqlEditor } from "../parts/sql-editor";
import type { Editor } from "../parts/sql-editor-library";
import { SqlShelf } from "../parts/sql-shelf";

export function Sql() {
  const [text, setText] = useState(() => linked.peek() ?? draft() ?? examples[0]?.sql ?? "");
  const [catalog, problem] = useCatalog();
  const [isRead, setRead] = useState(linked.peek() === null);
  const editor = useRef<Editor | null>(null);
  const isRunning = current.value.state === "running";

  const written = (now: string) => {
    setText(now);
    keepDraft(now);
  };
  const open = (sql: string) => {
    written(sql);
    editor.current?.replace(sql);
  };
  const ask = () => {
    const sql = text.trim();
    if (sql === "" || isRunning) return;
    setRead(true);
    keepInAddress(text);
    void run(text);
  };
  useEffect(() => {
    if (linked.value !== null && linked.value !== text) open(linked.value); // a step back, or another link
  }, [linked.value]);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key === "Escape" && current.peek().state === "running") void stop();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
  const meanings = useMemo(() => (catalog ? meaningsOf(catalog) : new Map<string, string>()), [catalog]);
  const wrong = useWrong(text);
  return (
    <main class="sql" data-testid="sql">
      <Down />
      {problem && <p class="banner why" role="alert" data-testid="problem">The tables cannot be listed: {problem}</p>}
      <SqlShelf
        catalog={catalog}
        open={(sql) => (open(sql), editor.current?.focus())}
        insert={(piece) => editor.current?.insert(piece)}
      />
      <section class="panel ask" aria-label="Query">
        <SqlEditor
          text={text}
          catalog={catalog}
          wrong={wrong}
          run={ask}
          stop={() => void stop()}
          changed={written}
          ready={(made) => ((editor.current = made), made.focus())}
        />
        <div class="controls">
          {isRunning ? (
            <button type="button" class="primary" data-testid="stop" onClick={() => void stop()}>
              Stop <kbd>Esc</kbd>
            </button>
          ) : (
            <button type="button" class="primary" data-testid="run" disabled={text.trim() === ""} onClick={ask}>
              Run <kbd>Ctrl-Enter</kbd>
            </button>
          )}
          <Share sql={text} />
          <Keep sql={text} />
          {!isRead && (
            <span class="hint" role="status" data-testid="unread">
              This query came with a link. It has not run: read it first.
            </span>
          )}
        </div>
      </section>
      <SqlAnswer meanings={meanings} limits={catalog?.limits ?? null} />
    </main>
  );
}

function Share({ sql }: { readonly sql: string }) {
  const [said, setSaid] = useState("");
  useEffect(() => setSaid(""), [sql]);
  const share = async () => {
    if (!fits(sql)) {
      setSaid(`too long for a link: ${count(linkTo(sql).length).text} characters, ${count(LONGEST_LINK).text} get through mail and chat whole. Save it, or send its text`);
      return;
    }
    keepInAddress(sql);
    // Beyond loopback a browser gives pages its clipboard only over https.
    const isCopied = await navigator.clipboard?.writeText(linkTo(sql)).then(
      () => true,
      () => false,
    );
    setSaid(isCopied ? "copied" : "the link is in the address bar");
  };
  return (
    <>
      <button type="button" data-testid="share" onClick={share} title="Whoever opens it sees the query, and runs it himself">
        Link
      </button>
      {said && <small role="status" data-testid="shared">{said}</small>}
    </>
  );
}

function Keep({ sql }: { readonly sql: string }) {
  const [name, setName] = useState("");
  return (
    <form
      class="keep"
      onSubmit={(event) => {
        event.preventDefault();
        if (name.trim() === "") return;
        save(name.trim(), sql);
        setName("");
      }}
    >
      <input placeholder="name" aria-label="Name to save it under" data-testid="name" size={16} value={name} onInput={(event) => setName(event.currentTarget.value)} />
      <button type="submit" disabled={name.trim() === ""}>Save</button>
    </form>
  );
}

/** Where the newest query was wrong, as long as it stands there as it was asked. */
function useWrong(text: string) {
  const run = current.value;
  const isOf = run.state === "failed" && run.sql === text;
  const position = isOf ? (run.failure.position ?? null) : null;
  const message = isOf ? run.failure.message : "";
  return useMemo(() => ({ position, message }), [position, message]);
}

function useCatalog(): [Catalog | null, string] {
  const [catalog, setCatalog] = useState<Catalog | null>(null);
  const [problem, setProblem] = useState("");
  const publish = publishId();
  useEffect(() => {
    fetchCatalog().then(
      (found) => (setCatalog(found), setProblem("")),
      (error: Error) => setProblem(error.message),
    );
  }, [publish]);
  return [catalog, problem];
}
