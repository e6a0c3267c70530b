"""The line that is edited at the prompt: several lines, history, colours, completion."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition, completion_is_selected
from prompt_toolkit.history import FileHistory
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.lexers import PygmentsLexer
from prompt_toolkit.output import Output
from prompt_toolkit.styles import Style
from pygments.lexers.sql import PostgresLexer

from infra.text_columns import cut
from warehouse.catalog import Catalog
from warehouse.forms import Form
from warehouse.prompt import backslash, words

STYLE = Style.from_dict({
    "pygments.keyword": "ansiblue bold",
    "pygments.literal.string": "ansigreen",
    "pygments.literal.number": "ansimagenta",
    "pygments.comment": "ansibrightblack italic",
    "prompt": "ansicyan",
    "error": "ansired",
    "quiet": "ansibrightblack",
})  # fmt: skip


def is_complete(text: str) -> bool:
    """Whether Enter runs it: a command, nothing at all, what ends in a semicolon or in an empty line."""
    stripped = text.strip()
    return not stripped or stripped.startswith("\\") or stripped.endswith(";") or text.endswith("\n")


def session(
    history: Path, catalog: Callable[[], Catalog], source: Input | None = None, sink: Output | None = None
) -> PromptSession[str]:
    """A session whose history stays in a file that only its owner reads."""
    history.parent.mkdir(parents=True, exist_ok=True)
    history.touch()
    history.chmod(0o600)
    return PromptSession(
        [("class:prompt", "playlake> ")],
        prompt_continuation=lambda width, *_: " " * (width - 2) + "> ",
        multiline=Condition(lambda: not is_complete(get_app().current_buffer.text)),
        history=FileHistory(str(history)),
        auto_suggest=AutoSuggestFromHistory(),
        completer=SqlCompleter(catalog),
        complete_while_typing=True,
        lexer=PygmentsLexer(PostgresLexer),
        key_bindings=_keys(),
        style=STYLE,
        input=source,
        output=sink,
    )


class SqlCompleter(Completer):
    """Completion of commands and of SQL."""

    def __init__(self, catalog: Callable[[], Catalog]) -> None:
        self._catalog = catalog

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """Suggestions at the cursor. While typing, only once a word has begun."""
        before = document.text_before_cursor
        if not complete_event.completion_requested and not document.get_word_before_cursor(WORD=True):
            return
        for word in self._words(before, document.text_after_cursor):
            yield Completion(
                word.text, -word.start, display_meta=cut(f"{word.kind}  {word.meaning}".strip().replace("\n", " "), 70)
            )

    def _words(self, before: str, after: str) -> list[words.Word]:
        if not before.startswith("\\"):
            return words.suggestions(before, after, self._catalog())
        command, space, argument = before.partition(" ")
        if not space:
            return [words.Word(name, len(command), "") for name in backslash.NAMES if name.startswith(command)]
        if command == "\\d":
            return words.table_names(argument, self._catalog())
        if command == "\\format":
            return [words.Word(form, len(argument), "") for form in Form if form.startswith(argument)]
        return []


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("enter", filter=completion_is_selected)
    def take_completion(event: KeyPressEvent) -> None:
        """Enter on a chosen suggestion takes it, and does not run the query."""
        event.current_buffer.complete_state = None

    @keys.add("escape", "enter")
    def run_now(event: KeyPressEvent) -> None:
        """Alt-Enter runs whatever stands there."""
        event.current_buffer.validate_and_handle()

    return keys
