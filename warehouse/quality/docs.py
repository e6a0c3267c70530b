"""Data Docs: Great Expectations' own site, with pages that need nothing from the internet.

Its stock pages load Bootstrap, jQuery, Vega and fonts from eight hosts. Its site builder takes renderers and views by
name; ours are below, one template each, styles inline, no script. Results are kept beside them, the newest KEEP_RUNS.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import great_expectations as gx
import pandas as pd
from great_expectations.core import ExpectationSuiteValidationResult
from great_expectations.core.run_identifier import RunIdentifier
from great_expectations.data_context.types.base import (
    DataContextConfig,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
)
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from infra.errors import ProcessError
from warehouse.quality import ledger
from warehouse.quality.staged import Staged

KEEP_RUNS = 40
"""Audits whose pages stay in the site; the ledger keeps all."""
TEMPLATES = Path(__file__).with_name("templates")


class Site:
    """Results and pages below one folder."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.index = home / "docs" / "index.html"
        self._results = home / "validations"
        self._context = gx.get_context(mode="ephemeral", project_config=_config(home, self._results))
        self._source = self._context.data_sources.add_pandas("lake")
        self._fresh: list[Any] = []

    def validate(
        self, suite: gx.ExpectationSuite, staged: Staged, run_id: str
    ) -> tuple[ExpectationSuiteValidationResult, str]:
        """Great Expectations' verdict on one staged table, and where its page will be."""
        # As long as the table, without a column: Great Expectations counts its rows, and asks DuckDB for the rest.
        frame = pd.DataFrame(index=pd.RangeIndex(staged.rows))
        asset = self._source.add_dataframe_asset(staged.table.full_name)
        batch = asset.add_batch_definition_whole_dataframe(f"version {staged.version}")
        definition = gx.ValidationDefinition(
            name=staged.table.full_name, data=batch, suite=self._context.suites.add(suite)
        )
        result = self._context.validation_definitions.add(definition).run(
            batch_parameters={"dataframe": frame}, result_format="COMPLETE", run_id=RunIdentifier(run_name=run_id)
        )
        key = next(key for key in self._keys() if _is_of(key, run_id, suite.name))
        self._fresh.append(key)
        return result, _page(key)

    def build(self) -> Path:
        """Make the new pages and the index; forget the oldest. Raises ProcessError when a page was not made."""
        store: Any = self._context.validation_results_store
        kept = set(sorted({key.run_id.run_name for key in self._keys()}, reverse=True)[:KEEP_RUNS])
        for key in self._keys():
            if key.run_id.run_name not in kept:
                store.remove_key(key)  # its page goes with it when the index is built
        expected = [self.index, *(self.home / "docs" / _page(key) for key in self._fresh)]
        self._context.build_data_docs(resource_identifiers=self._fresh)
        missing = [str(path) for path in expected if not path.exists() or not path.stat().st_size]
        if missing:  # Great Expectations logs what goes wrong in a page, and goes on
            msg = f"expected the Data Docs to have {', '.join(missing)}; the log says why they have not"
            raise ProcessError(msg)
        return self.index

    def _keys(self) -> list[Any]:
        """Identifiers of all results that are kept."""
        return self._context.validation_results_store.list_keys()


class ResultRenderer:
    """A validation result → what its page shows."""

    def __init__(self, **_: Any) -> None:
        pass

    def render(self, result: ExpectationSuiteValidationResult) -> dict[str, Any]:
        run: Any = result.meta["run_id"]  # a plain record: the result comes from its store
        checks = ledger.check_results(result)
        configs: list[Any] = [one.expectation_config for one in result.results]
        queries = [config.kwargs.get("unexpected_rows_query") for config in configs]
        return {
            "home": "../" * (4 + result.suite_name.count(".")),
            "table": result.suite_name,
            "run_id": run["run_name"],
            "run_time": datetime.fromisoformat(run["run_time"]),
            "checks": sorted(zip(checks, queries, strict=True), key=lambda pair: ledger.STATES.index(pair[0].state)),
        }


class IndexRenderer:
    """The audits in the ledger whose results are in the site → what the index shows."""

    def __init__(self, home: str, **_: Any) -> None:
        self.home = Path(home)

    def render(self, links: dict[str, Any]) -> dict[str, Any]:
        runs = {link["run_name"] for link in links.get("validations_links", [])}
        audits = [audit for audit in ledger.newest(self.home, KEEP_RUNS) if audit.run_id in runs]
        return {"audits": audits}


class PageView:
    """Puts what a renderer gives into a template. Values are escaped: offending rows hold what clients have sent."""

    template: str

    def __init__(self, **_: Any) -> None:
        loader = FileSystemLoader(TEMPLATES)
        self._pages = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)

    def render(self, document: dict[str, Any], **_: Any) -> str:
        return self._pages.get_template(self.template).render(document)


class ResultView(PageView):
    """A page a table and audit."""

    template = "result.html"


class IndexView(PageView):
    """The page to begin with."""

    template = "index.html"


def _page(key: Any) -> str:
    """Where Great Expectations puts the page of a result, relative to the index."""
    return f"validations/{'/'.join(key.to_tuple())}.html"


def _is_of(key: Any, run_id: str, suite: str) -> bool:
    return bool(key.run_id.run_name == run_id and key.expectation_suite_identifier.name == suite)


def _config(home: Path, results: Path) -> DataContextConfig:
    here = {"module_name": __name__}
    defaults = InMemoryStoreBackendDefaults()
    defaults.stores[defaults.validation_results_store_name]["store_backend"] = {
        "class_name": "TupleFilesystemStoreBackend",
        "base_directory": str(results),
    }
    site = {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(home / "docs")},
        "site_section_builders": {
            "expectations": "none",
            "profiling": "none",
            "validations": {
                "class_name": "DefaultSiteSectionBuilder",
                "source_store_name": defaults.validation_results_store_name,
                "renderer": here | {"class_name": "ResultRenderer"},
                "view": here | {"class_name": "ResultView"},
            },
        },
        "site_index_builder": {
            "class_name": "DefaultSiteIndexBuilder",
            "renderer": here | {"class_name": "IndexRenderer", "home": str(home)},
            "view": here | {"class_name": "IndexView"},
        },
    }
    return DataContextConfig(
        store_backend_defaults=defaults,
        data_docs_sites={"local_site": site},
        analytics_enabled=False,
        progress_bars=ProgressBarsConfig(globally=False),
    )
