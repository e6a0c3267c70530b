/** CodeMirror with what we use of it, in a bundle of its own: no other page needs it. */

import { type Completion, type CompletionContext, type CompletionResult, acceptCompletion, autocompletion, closeBrackets, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { PostgreSQL, SQLDialect, type SQLNamespace, sql } from "@codemirror/lang-sql";
import { HighlightStyle, bracketMatching, syntaxHighlighting } from "@codemirror/language";
import { type Diagnostic, lintGutter, setDiagnostics } from "@codemirror/lint";
import { Compartment, Prec } from "@codemirror/state";
import { EditorView, drawSelection, keymap, lineNumbers, placeholder } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import type { Catalog } from "../data/catalog";
import { completionsOf, namespaceOf, tablesIn } from "../data/sql-words";

/** DuckDB's words as the catalogue tells them: a longer list would take columns for keywords. */
const dialectOf = ({ keywords, functions }: Catalog) =>
  SQLDialect.define({
    ...PostgreSQL.spec,
    keywords: [...new Set(keywords.flatMap((word) => word.toLowerCase().split(" ")))].join(" "),
    builtin: functions.join(" "),
  });

/** Colours are the palette's own variables, so that they change with the theme. */
const colours = HighlightStyle.define([
  { tag: tags.keyword, color: "var(--accent)" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--plays)" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--p95)" },
  { tag: [tags.lineComment, tags.blockComment], color: "var(--muted)", fontStyle: "italic" },
  { tag: tags.standard(tags.name), color: "var(--p50)" },
  { tag: tags.typeName, color: "var(--failures)" },
]);
const theme = EditorView.theme({
  "&": { height: "100%", backgroundColor: "var(--page)", color: "var(--text)", fontSize: "0.93rem" },
  "&.cm-focused": { outline: "2px solid color-mix(in srgb, var(--accent) 55%, transparent)" },
  ".cm-scroller": { fontFamily: "ui-monospace, 'DejaVu Sans Mono', monospace", lineHeight: "1.5" },
  ".cm-content": { caretColor: "var(--text)" },
  ".cm-cursor": { borderLeftColor: "var(--text)" },
  ".cm-gutters": { backgroundColor: "var(--page)", color: "var(--muted)", border: "0" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": { background: "color-mix(in srgb, var(--accent) 30%, transparent)" },
  "&.cm-focused .cm-matchingBracket": { backgroundColor: "color-mix(in srgb, var(--accent) 25%, transparent)" },
  ".cm-placeholder": { color: "var(--muted)" },
  ".cm-tooltip": { backgroundColor: "var(--raised)", color: "var(--text)", border: "1px solid var(--line-strong)", borderRadius: "0.4rem" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li[aria-selected]": { backgroundColor: "var(--accent)", color: "#fff" },
  ".cm-completionDetail": { color: "var(--muted)", fontStyle: "normal" },
  "li[aria-selected] .cm-completionDetail": { color: "inherit" },
  ".cm-completionInfo": { maxWidth: "26rem", padding: "0.4rem 0.6rem" },
  ".cm-lintRange-error": { backgroundImage: "none", textDecoration: "underline wavy var(--bad) 1.5px", textUnderlineOffset: "3px" },
  ".cm-diagnostic-error": { borderLeftColor: "var(--bad)", whiteSpace: "pre-wrap", fontFamily: "ui-monospace, 'DejaVu Sans Mono', monospace" },
});

interface Wishes {
  readonly label: string;
  readonly text: string;
  readonly run: () => void;
  /** Esc, where it closes nothing else. */
  readonly stop: () => void;
  readonly changed: (text: string) => void;
}

export interface Editor {
  readonly text: () => string;
  readonly replace: (text: string) => void;
  readonly insert: (text: string) => void;
  /** Marks the word at a character; null: nothing is wrong. */
  readonly mark: (position: number | null, message: string) => void;
  readonly teach: (catalog: Catalog) => void;
  readonly focus: () => void;
  readonly destroy: () => void;
}

export function make(box: HTMLElement, { label, text, run, stop, changed }: Wishes): Editor {
  const language = new Compartment();
  const keys = keymap.of([
    { key: "Mod-Enter", run: () => (run(), true) },
    { key: "Tab", run: acceptCompletion }, // else it leaves the editor, as anywhere
  ]);
  const view = new EditorView({
    parent: box,
    doc: text,
    extensions: [
      Prec.highest(keys),
      lineNumbers(),
      lintGutter(),
      history(),
      drawSelection(),
      bracketMatching(),
      closeBrackets(),
      autocompletion({ icons: false }),
      keymap.of([...completionKeymap, ...defaultKeymap, ...historyKeymap, { key: "Escape", run: () => (stop(), true) }]),
      language.of(sql()),
      syntaxHighlighting(colours),
      theme,
      placeholder("SELECT … FROM metrics.quality_minute"),
      EditorView.lineWrapping,
      EditorView.contentAttributes.of({ "aria-label": label, "data-testid": "editor" }),
      EditorView.updateListener.of(({ docChanged, state }) => docChanged && changed(state.doc.toString())),
    ],
  });
  const replace = (all: string): void => {
    if (all === view.state.doc.toString()) return;
    view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: all }, selection: { anchor: all.length } });
  };
  return {
    text: () => view.state.doc.toString(),
    replace,
    insert: (piece) => {
      view.dispatch(view.state.replaceSelection(piece));
      view.focus();
    },
    mark: (position, message) => view.dispatch(setDiagnostics(view.state, position === null ? [] : [wrong(view.state.doc.toString(), position, message)])),
    teach: (catalog) => {
      const dialect = dialectOf(catalog);
      const support = sql({ dialect, upperCaseKeywords: true, schema: namespaceOf(catalog) as SQLNamespace });
      const words = dialect.language.data.of({ autocomplete: (context: CompletionContext) => complete(catalog, context) });
      view.dispatch({ effects: language.reconfigure([support, words]) });
    },
    focus: () => view.focus(),
    destroy: () => view.destroy(),
  };
}

/** Columns of the tables that the query reads, metrics and functions; the language itself completes what has a dot. */
function complete(catalog: Catalog, context: CompletionContext): CompletionResult | null {
  const word = context.matchBefore(/[\w.]*/);
  if (word === null || word.text.includes(".") || (word.text === "" && !context.explicit)) return null;
  const options: Completion[] = completionsOf(catalog, tablesIn(context.state.doc.toString(), catalog));
  return { from: word.from, options, validFor: /^\w*$/ };
}

function wrong(text: string, position: number, message: string): Diagnostic {
  const from = Math.min(position, text.length);
  const word = /^[\w.]+|^\S/.exec(text.slice(from))?.[0] ?? "";
  return { from: word === "" ? Math.max(0, from - 1) : from, to: from + word.length, severity: "error", message };
}
