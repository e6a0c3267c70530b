"""Reads a query or a command, runs it, shows what comes, until Ctrl-D."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from prompt_toolkit import PromptSession, print_formatted_text
from prompt_toolkit.formatted_text import FormattedText

from infra.errors import PlaylakeError, SettingsError
from infra.settings import Settings
from warehouse import answers
from warehouse.catalog import Catalog, CatalogReader
from warehouse.forms import Form, form_of
from warehouse.prompt import backslash, describe, editor
from warehouse.sandbox.pool import Answer, Sandbox

HISTORY = "sql_history"
SHOWN_ROWS = 1000
"""Rows of a table that a screen is given; files and other forms get as many as a query may have."""


def run(settings: Settings, form: Form | None, file: Path | None, max_rows: int | None) -> None:
    """The prompt on this terminal. Raises QueryError when there is nothing to ask yet."""
    with Sandbox(settings, warm=1) as sandbox:
        prompt = Prompt(settings, sandbox, backslash.Choices(form, file), max_rows)
        prompt.greet()
        prompt.read_until_left()


class Prompt:
    """What a person at the prompt has before him: the catalogue, the choices, the running query."""

    def __init__(
        self, settings: Settings, sandbox: Sandbox, choices: backslash.Choices, max_rows: int | None = None
    ) -> None:
        self._sandbox = sandbox
        self._choices = choices
        self._max_rows = max_rows
        self._reader = CatalogReader(sandbox, settings)
        self._catalog = self._reader.read()
        self._session: PromptSession[str] = editor.session(settings.home / HISTORY, lambda: self._catalog)

    def greet(self) -> None:
        """What can be asked, as of when, and how to go on."""
        catalog = self._catalog
        newest = catalog.table("metrics.quality_minute")
        fresh = f"; minutes to {describe.stamp(newest.freshness.newest)} UTC" if newest else ""
        publish = f"publish {catalog.publish_id}" if catalog.publish_id else "nothing published yet"
        self._say(f"{len(catalog.tables)} tables, {len(catalog.macros)} metrics; {publish}{fresh}")
        self._say(
            "A query ends with ; or an empty line. \\? lists commands, Tab completes, Ctrl-C cancels, Ctrl-D ends."
        )

    def read_until_left(self) -> None:
        """Until Ctrl-D or \\q."""
        while True:
            try:
                self._do(self._session.prompt().strip())
            except KeyboardInterrupt:
                continue
            except EOFError:
                return

    def _do(self, text: str) -> None:
        try:
            if text.startswith("\\"):
                print(backslash.run(text, self._choices, self._fresh_catalog))
            elif text.strip(";"):
                self._show(self._ask(text))
        except (PlaylakeError, OSError) as error:
            self._say(f"error: {error}", "class:error")

    def _ask(self, sql: str) -> Answer:
        """Ctrl-C kills the query's process; whatever it was doing, the prompt stays."""
        cancelled = threading.Event()
        choices = self._choices
        if choices.form is Form.parquet and choices.file is None:
            msg = "parquet is for files: say where to with \\o FILE"
            raise SettingsError(msg)
        on_screen = choices.file is None and form_of(choices.form, None) is Form.table
        rows = self._max_rows if self._max_rows is not None else SHOWN_ROWS if on_screen else None
        with ThreadPoolExecutor(1) as thread:
            answer = thread.submit(self._sandbox.query, sql, max_rows=rows, cancelled=cancelled)
            while True:
                try:
                    return answer.result()
                except KeyboardInterrupt:
                    cancelled.set()

    def _show(self, answer: Answer) -> None:
        choices = self._choices
        form = form_of(choices.form, choices.file)
        if choices.file is not None:
            answers.write_file(answer, form, choices.file)
            self._say(f"{answer.table.num_rows:,} rows in {choices.file}")
        elif form is Form.table:
            print(answers.to_text(answer))
        else:
            print((answers.to_csv(answer) if form is Form.csv else answers.to_json(answer)).decode().rstrip("\n"))
        if answer.truncated and (choices.file is not None or form is not Form.table):
            self._say(f"the first {answer.table.num_rows:,} rows; there are more")
        if choices.is_timed:
            self._say(f"{answer.elapsed_s * 1000:,.0f} ms")
        if answer.publish_id != self._catalog.publish_id:
            self._fresh_catalog()

    def _fresh_catalog(self) -> Catalog:
        self._catalog = self._reader.read()
        return self._catalog

    def _say(self, text: str, style: str = "class:quiet") -> None:
        """A line of ours beside the answers."""
        print_formatted_text(FormattedText([(style, text)]), style=editor.STYLE)
