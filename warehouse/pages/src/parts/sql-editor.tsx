/** The editor, loaded when the page needs it. What is typed meanwhile is not lost: there is nothing to type into yet. */

import { useEffect, useRef, useState } from "preact/hooks";
import type { Catalog } from "../data/catalog";
import type { Editor } from "./sql-editor-library";

interface Props {
  /** What stands in it at first; from then on the editor knows, and `ready` hands out how to replace it. */
  readonly text: string;
  readonly catalog: Catalog | null;
  /** Where the last query was wrong. */
  readonly wrong: { readonly position: number | null; readonly message: string };
  readonly run: () => void;
  readonly stop: () => void;
  readonly changed: (text: string) => void;
  readonly ready: (editor: Editor) => void;
}

export function SqlEditor({ text, catalog, wrong, ...wishes }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const latest = useRef({ text, ...wishes });
  latest.current = { text, ...wishes };
  const [editor, setEditor] = useState<Editor | null>(null);
  const [problem, setProblem] = useState("");

  useEffect(() => {
    let made: Editor | null = null;
    let isGone = false;
    import("./sql-editor-library").then(
      ({ make }) => {
        if (isGone || !box.current) return;
        made = make(box.current, {
          label: "SQL",
          text: latest.current.text,
          run: () => latest.current.run(),
          stop: () => latest.current.stop(),
          changed: (now) => latest.current.changed(now),
        });
        setEditor(made);
        latest.current.ready(made);
      },
      (error: Error) => setProblem(error.message),
    );
    return () => {
      isGone = true;
      made?.destroy();
    };
  }, []);
  useEffect(() => {
    if (catalog) editor?.teach(catalog);
  }, [editor, catalog]);
  useEffect(() => editor?.mark(wrong.position, wrong.message), [editor, wrong]);

  return (
    <div ref={box} class="editor" aria-busy={editor === null}>
      {problem && <p class="note">The editor cannot be loaded: {problem}</p>}
    </div>
  );
}
