"""Commands that run the platform: up, down, status, logs, doctor."""

from __future__ import annotations

import json
from typing import Annotated

import typer

app = typer.Typer()

Without = Annotated[
    list[str] | None, typer.Option("--without", help="Leave this part out, e.g. `airflow` or `stream-1`; repeatable.")
]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]


@app.command()
def up(
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when all is up; go on in the background.")
    ] = False,
    without: Without = None,
) -> None:
    """Start every part that is not up yet, and stay until Ctrl-C."""
    import time

    from infra import report, run_state
    from infra import up as platform
    from infra.settings import Settings

    settings, console, began = Settings.from_env(), report.console(), time.monotonic()
    progress, announced = report.Progress(console), False

    def show(state: run_state.RunState) -> None:
        nonlocal announced
        progress(state)
        if state.phase == "up" and not announced:
            announced = True
            how = "`playlake down` stops it" if detach else "Ctrl-C stops it"
            console.print(f"[bold green]up[/] in {time.monotonic() - began:.0f} s; {how}\n", highlight=False)
            report.print_addresses(console, settings)

    console.print(f"starting in {settings.home}", style="dim", highlight=False)
    run = platform.detached if detach else platform.foreground
    if not run(settings, without or [], show):
        living = run_state.supervisor(settings)
        who = f" (supervisor {living.pid})" if living else ""
        console.print(f"already up{who}; `playlake status` shows it, `playlake down` stops it", highlight=False)
        report.print_addresses(console, settings)


@app.command()
def down() -> None:
    """Stop every part, also what a killed supervisor left behind."""
    from infra import report, run_state
    from infra import up as platform
    from infra.settings import Settings

    settings, console = Settings.from_env(), report.console()
    progress = report.Progress(console, known=run_state.read(settings))
    console.print(platform.down(settings, progress), highlight=False)


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show each part: state, process, uptime, restarts, memory, address. Exit 1 unless all are up."""
    from infra import report
    from infra.settings import Settings

    told = report.status(Settings.from_env())
    if as_json:
        print(json.dumps(told, indent=2))
    else:
        report.print_status(report.console(), told)
    well = told["phase"] == "up" and all(part["state"] in ("healthy", "done") for part in told["parts"])
    raise typer.Exit(0 if well else 1)


@app.command()
def logs(
    part: Annotated[str | None, typer.Argument(help="One part; all without it.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is written from now on.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Last lines of each.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show the last lines of the parts' logs."""
    from infra.errors import SettingsError
    from infra.log_files import LogFiles, readable
    from infra.settings import Settings

    files = LogFiles(Settings.from_env())
    names = [part] if part else files.names()
    if part and part not in files.names():
        msg = f"no log of {part!r} in {files.folder}; there are: {', '.join(files.names()) or 'none'}"
        raise SettingsError(msg)
    for name, line in files.read(names, lines, follow=follow):
        print(line if as_json else f"{name:22}{readable(line)}", flush=follow)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Look at Java, disk, memory, ports, open sockets, topics and settings. Exit 1 when something is bad."""
    from dataclasses import asdict

    from infra import report
    from infra.doctor import Finding, examine
    from infra.settings import Settings

    console, found = report.console(), list[Finding]()
    signs = {"good": "[green]✓[/]", "note": "[dim]·[/]", "warning": "[yellow]![/]", "bad": "[red]✗[/]"}
    for finding in examine(Settings.from_env()):
        found.append(finding)
        if not as_json:
            console.print(f"  {signs[finding.verdict]} {finding.what:24}", end="")
            console.print(finding.detail, markup=False, highlight=False, soft_wrap=True)
    if as_json:
        print(json.dumps([asdict(finding) for finding in found], indent=2))
    raise typer.Exit(1 if any(finding.verdict == "bad" for finding in found) else 0)


@app.command()
def demo(
    viewers: Annotated[int, typer.Option(min=1, help="Viewers of the hour that is sent first.")] = 500,
    watching: Annotated[int, typer.Option(min=1, help="Viewers who go on watching.")] = 3000,
) -> None:
    """Start everything, send an hour of simulated viewing, let Airflow run the batch chain, answer in SQL."""
    from infra import demo as demonstration
    from infra.settings import Settings

    demonstration.run(Settings.from_env(), demonstration.Size(viewers=viewers, watching=watching), typer.echo)
