"""Serves the dashboard alone over a folder: `python -m tests.browser.serve FOLDER PORT`. Ends on SIGTERM."""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from infra.settings import Settings
from warehouse.dashboard.router import Dashboard


def main(home: str, port: str) -> None:
    dashboard = Dashboard(Settings(home=Path(home), server_port=int(port)))
    app = FastAPI(lifespan=lambda _: dashboard.running(), docs_url=None, redoc_url=None)
    app.include_router(dashboard.router)
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning", timeout_graceful_shutdown=1)


if __name__ == "__main__":
    main(*sys.argv[1:])
