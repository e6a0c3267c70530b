"""Commands that bring events in, and that say what became of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streams.alerts.commands import alerts
from streams.dead_letter_commands import deadletters
from streams.options import MOMENTS, DateTime

if TYPE_CHECKING:
    from streams.intake.bulk.importing import Window
    from streams.intake.bulk.mapping import Mapping
    from streams.intake.simulate import Summary
    from streams.intake.simulation.traces import Traces

app = typer.Typer()
app.add_typer(alerts, name="alerts")
app.add_typer(deadletters, name="deadletters")
load = typer.Typer()
app.add_typer(load, name="load")


class To(StrEnum):
    """Where generated events go."""

    kafka = "kafka"
    collector = "collector"
    file = "file"


class LoadTo(StrEnum):
    """What a load goes to."""

    kafka = "kafka"
    collector = "collector"


class Source(StrEnum):
    """Recordings that can be replayed."""

    lumos = "lumos"


ToOption = Annotated[To, typer.Option("--to", help="Where to send: the topics, the HTTP collector, or --output FILE.")]
OutputOption = Annotated[Path | None, typer.Option("--output", help="With --to file: one record a line.")]
RateOption = Annotated[float | None, typer.Option("--rate", min=0.1, help="Most records a second.")]
SummaryOption = Annotated[Path | None, typer.Option("--summary", help="Write the counts to this file as JSON.")]


@app.command()
def simulate(
    *,
    viewers: Annotated[int, typer.Option(min=1, help="Accounts that visit within the window.")] = 500,
    minutes: Annotated[float, typer.Option(min=0.1, help="Length of the window.")] = 60,
    seed: Annotated[int, typer.Option(min=0, help="Same seed and window, same bytes.")] = 1,
    rate: RateOption = None,
    live: Annotated[bool, typer.Option("--live", help="The next minutes, as they happen.")] = False,
    warm_up: Annotated[float, typer.Option(min=0, help="With --live: minutes of the past that go first, at once.")] = 3,
    end: DateTime = None,
    events: Annotated[int | None, typer.Option(min=1, help="Stop after so many records.")] = None,
    broken: Annotated[float, typer.Option(min=0, max=0.5, help="Share of records that break their contract.")] = 0.0,
    duplicates: Annotated[float, typer.Option(min=0, max=0.5, help="Share that comes again within a minute.")] = 0.0,
    loss: Annotated[float, typer.Option(min=0, max=0.5, help="Share that never comes.")] = 0.0,
    disorder: Annotated[float, typer.Option(min=0, max=1, help="Share that comes up to 5 s later.")] = 0.0,
    lateness: Annotated[float, typer.Option(min=0, max=1, help="Share that comes minutes to days later.")] = 0.0,
    skew: Annotated[float, typer.Option(min=0, max=1, help="Share of viewers whose clock is off.")] = 0.0,
    drift: Annotated[float, typer.Option(min=0, max=1, help="Share of viewers whose app left the contract.")] = 0.0,
    incident: Annotated[
        list[str] | None,
        typer.Option(help="What goes wrong, any number: cdn-outage:country=BR,cdn=north,start=2,minutes=15,strength=1"),
    ] = None,
    traces: Annotated[
        Path | None, typer.Option(exists=True, help="Recorded bandwidth (folder or CSV) in place of the model.")
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Write what really happened in each session: JSON lines.")
    ] = None,
    report: Annotated[
        bool, typer.Option("--report", help="Send nothing: the error of every metric against the truth, by fault.")
    ] = False,
    catalogue: Annotated[bool, typer.Option(help="Announce the titles first, on catalog.titles.")] = True,
    to: ToOption = To.kafka,
    output: OutputOption = None,
    summary: SummaryOption = None,
) -> None:
    """Send the events of a simulated audience: of the last minutes (until --end), or --live of the next ones.

    A live run begins with a few minutes that are just over, so that viewers are there from its first second. With
    --report, --viewers and --seed choose who is simulated; --output also writes the tables to a Markdown file.
    """
    from infra.settings import Settings
    from streams.intake.simulate import arriving, run
    from streams.intake.simulation.audience import Audience
    from streams.intake.simulation.faults import Faults, Tally
    from streams.intake.simulation.incidents import parse
    from streams.intake.simulation.traces import read_traces
    from streams.intake.simulation.truth import Truth, write
    from streams.intake.targets import target

    lines = read_traces(traces) if traces else None
    if report:
        _judge(viewers, seed, lines, output)
        return

    now = datetime.now(UTC)
    until = now + timedelta(minutes=minutes) if live else (end.replace(tzinfo=UTC) if end else now)
    start = until - timedelta(minutes=minutes + (warm_up if live else 0))
    zero_ms = round((now if live else start).timestamp() * 1000)
    audience = Audience(
        seed,
        viewers,
        round(start.timestamp() * 1000),
        round(until.timestamp() * 1000),
        traces=lines,
        incidents=tuple(parse(text, zero_ms) for text in incident or ()),
    )
    faults = Faults(
        broken=broken, loss=loss, duplicates=duplicates, disorder=disorder, lateness=lateness, skew=skew, drift=drift
    )
    truths: list[Truth] | None = [] if truth else None
    tally = Tally()
    records = arriving(audience, faults=faults, events=events, catalogue=catalogue, truths=truths, tally=tally)
    done = run(records, target(to, Settings.from_env(), output), rate=rate, live=live, tally=tally)
    _report(done, summary)
    if truth and truths is not None:
        # Without a bound on the records everything up to the window's end was sent.
        count = write(truths, truth, tally.last_ms if events else audience.end_ms)
        typer.echo(f"the truth of {count:,} sessions: {truth}")


def _judge(viewers: int, seed: int, traces: Traces | None, output: Path | None) -> None:
    """Print the error of every metric, by fault. Exits 1 if one is beyond its bound."""
    from streams.intake.accuracy import report

    found = report.run(viewers, seed, traces)
    typer.echo(report.text(found))
    if output:
        report.write_into(output, found)
    if beyond := report.beyond_bounds(found, report.slack(viewers)):
        typer.echo("beyond their bounds: " + "; ".join(beyond), err=True)
        raise typer.Exit(1)


@app.command()
def replay(
    source: Annotated[Source, typer.Argument(help="What was recorded: lumos, a log of chunks.")],
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="CSV, also gzipped.")],
    *,
    as_now: Annotated[
        bool, typer.Option("--as-now/--original-time", help="Lay the sessions into the last hours, or leave them be.")
    ] = True,
    hours: Annotated[float, typer.Option(min=0.1, help="How many hours to lay them into.")] = 3,
    until: DateTime = None,
    rate: RateOption = None,
    to: ToOption = To.kafka,
    output: OutputOption = None,
    summary: SummaryOption = None,
) -> None:
    """Send the events of recorded real sessions; by default as if they had happened in the hours until --until."""
    from infra.settings import Settings
    from streams.intake import lumos
    from streams.intake.replay import arriving, begun_hour, original_times
    from streams.intake.replay import as_now as lay
    from streams.intake.simulate import run
    from streams.intake.targets import target

    recordings = lumos.read(file)
    end = until.replace(tzinfo=UTC) if until else begun_hour(datetime.now(UTC))
    begins = lay(recordings, end, hours) if as_now else original_times(recordings)
    done = run(arriving(recordings, begins), target(to, Settings.from_env(), output), rate=rate)
    _report(done, summary)
    when = f"in the {hours:g} hours until {end:%Y-%m-%dT%H:%M:%S}Z" if as_now else "at their original times"
    typer.echo(f"{len(recordings)} sessions from {source.value}, {when}")


@app.command("import")
def import_command(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="CSV, NDJSON (also .gz) or Parquet.")],
    *,
    mapping: Annotated[str, typer.Option(help="A mapping file (.toml), or lumos, youtube-2015.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Send nothing: show what would be sent.")] = False,
    show: Annotated[int, typer.Option(min=0, help="With --dry-run: so many events, and so many rejected ones.")] = 5,
    as_now: Annotated[bool, typer.Option("--as-now", help="Lay the rows into the hours before --until.")] = False,
    hours: Annotated[float, typer.Option(min=0.1, help="How many hours to lay them into.")] = 3,
    until: DateTime = None,
    rate: RateOption = None,
    to: ToOption = To.kafka,
    output: OutputOption = None,
    position: Annotated[Path | None, typer.Option(help="Where to remember how far it came.")] = None,
    restart: Annotated[bool, typer.Option("--restart", help="From the first row again.")] = False,
) -> None:
    """Send the events that a mapping makes of a file. Goes on where it stopped; exits 1 if a row was rejected."""
    from infra.settings import Settings
    from streams.intake.bulk import importing
    from streams.intake.bulk.shipped import find
    from streams.intake.replay import begun_hour
    from streams.intake.targets import target

    found = find(mapping)
    window = None
    if as_now:
        window = importing.Window(until.replace(tzinfo=UTC) if until else begun_hour(datetime.now(UTC)), hours)
    if dry_run:
        raise typer.Exit(_show_import(file, found, window, show))
    settings = Settings.from_env()
    name = mapping if Path(mapping).suffix != ".toml" else _content_of(Path(mapping))
    place = position or settings.home / "imports" / f"{file.name}.{Path(mapping).stem}.{to.value}.json"

    def say(result: importing.Result) -> None:
        sent = result.sent.total()
        typer.echo(f"row {result.rows:,}: {sent:,} events sent, {sent / result.seconds:,.0f}/s", err=True)

    goes_to = target(to.value, settings, output)
    done = importing.run(file, found, name, goes_to, place, window=window, rate=rate, restart=restart, say=say)
    goes_to.finish()
    for topic, count in sorted(done.sent.items()):
        typer.echo(f"{topic:<28}{count:>12,} events")
    typer.echo(f"{done.rows:,} rows, {done.skipped_rows:,} of them sent before; {done.rejected:,} events rejected")
    if done.rejected:
        typer.echo(f"rejected ones, and why: {place}.rejected.ndjson", err=True)
        raise typer.Exit(1)


@load.callback(invoke_without_command=True)
def load_command(
    context: typer.Context,
    *,
    to: Annotated[
        LoadTo, typer.Option("--to", help="Straight into the topics, or by the HTTP collector.")
    ] = LoadTo.kafka,
    rate: Annotated[
        float | None, typer.Option(min=0.1, help="Events a second, all together; as fast as it goes.")
    ] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="End after so long (10, unless --events).")] = None,
    events: Annotated[int | None, typer.Option(min=1, help="End after so many.")] = None,
    processes: Annotated[int, typer.Option(min=1, max=64, help="How many send at the same time.")] = 1,
    batch: Annotated[int, typer.Option(min=1, help="Events in one request to the collector.")] = 50,
    key: Annotated[str | None, typer.Option(help="The collector's write key.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Which audience is simulated.")] = 1,
    ledger: Annotated[Path | None, typer.Option(help="Keep what became of each event in this new folder.")] = None,
) -> None:
    """Send simulated events and print how many were acknowledged, and how fast. Exits 1 if any was not."""
    if context.invoked_subcommand:
        return
    from infra.settings import Settings
    from streams.intake.load.run import Plan, run

    if seconds is None and events is None:
        seconds = 10.0
    plan = Plan(
        to.value, events, seconds, rate=rate, processes=processes, batch=batch, seed=seed, key=key, ledger=ledger
    )
    figures = run(Settings.from_env(), plan, lambda line: typer.echo(line, err=True))
    typer.echo(figures.as_text())
    if figures.outcomes["acked"] != figures.sent:
        raise typer.Exit(1)


@load.command("verify")
def load_verify(
    ledger: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="What `--ledger` named.")],
    wait: Annotated[float, typer.Option(min=0, help="Seconds that what is in a spool may take to reach Kafka.")] = 0,
) -> None:
    """Is every acknowledged event of a load in Kafka, as it was sent? Exits 1 if not."""
    import time

    from infra.settings import Settings
    from streams.intake.load.verify import verify

    until = time.monotonic() + wait
    comparison = verify(Settings.from_env(), ledger)
    while comparison.missing and time.monotonic() < until:
        time.sleep(1)
        comparison = verify(Settings.from_env(), ledger)
    typer.echo(comparison.as_text())
    if not comparison.holds:
        raise typer.Exit(1)


@app.command("reconcile")
def reconcile_command(
    wait: Annotated[float, typer.Option(min=0, help="Seconds that stream and sink may take to catch up.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Does every record that Kafka took add up, in bronze, silver and live? Exits 1 if an equation fails."""
    from infra.settings import Settings
    from streams.reconcile import as_json as to_json
    from streams.reconcile import as_text, reconcile

    report = reconcile(Settings.from_env(), wait)
    typer.echo(to_json(report) if as_json else as_text(report))
    if not report.holds:
        raise typer.Exit(1)


@app.command("parity")
def parity_command(
    *,
    minutes: Annotated[int, typer.Option(min=1, help="So many of the newest minutes.")] = 120,
    first: Annotated[datetime | None, typer.Option("--from", formats=MOMENTS, help="First minute, UTC.")] = None,
    end: Annotated[datetime | None, typer.Option("--to", formats=MOMENTS, help="End, UTC; not included.")] = None,
    wait: Annotated[float, typer.Option(min=0, help="Seconds that the sink may take to catch up with live.")] = 30,
    most_records: Annotated[
        int | None, typer.Option(min=1, help="Fewer minutes if their sessions have more (half a million).")
    ] = None,
    lines: Annotated[int, typer.Option(min=0, help="So many differences are shown.")] = 20,
    trend: Annotated[int, typer.Option("--trend", min=0, help="Show the last so many comparisons; make none.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: every difference.")] = False,
) -> None:
    """Live numbers against batch's, by minute and dimension, and why they differ. Exits 1 if one is unexplained."""
    import msgspec

    from infra.errors import SettingsError
    from infra.settings import Settings
    from schemas.parity import recent
    from streams.parity import text
    from streams.parity.history import remember
    from streams.parity.report import parity
    from streams.parity.window import MOST_RECORDS, newest

    settings = Settings.from_env()
    if trend:
        past = recent(settings.lake_root, trend)
        typer.echo(msgspec.json.encode(past).decode() if as_json else text.trend(past))
        return
    if (first is None) != (end is None):
        msg = "--from and --to go together, e.g. --from 2026-01-15T20:00 --to 2026-01-15T21:00"
        raise SettingsError(msg)
    window = newest(minutes, datetime.now(UTC))
    if first and end:
        window = first.replace(tzinfo=UTC), end.replace(tzinfo=UTC)
    made = parity(settings, window, wait, most_records or MOST_RECORDS)
    remember(settings, made)
    typer.echo(text.as_json(made) if as_json else text.as_text(made, lines))
    if not made.holds:
        raise typer.Exit(1)


@app.command("maintain")
def maintain_command() -> None:
    """Merge bronze's small files, clean old logs, delete replaced files. Safe beside a running sink."""
    from infra.settings import Settings
    from streams.maintain import maintain

    for done in maintain(Settings.from_env()):
        typer.echo(str(done))


def _content_of(path: Path) -> str:
    """A mapping file's content stands for it: another content is another mapping."""
    from streams.intake.bulk.rows import fingerprint

    return fingerprint(path)


def _show_import(file: Path, mapping: Mapping, window: Window | None, show: int) -> int:
    """The first mapped events and the first rejected ones, each a line of JSON; 1 if any is rejected."""
    import msgspec

    from streams.intake.bulk import importing
    from streams.intake.bulk.rows import fingerprint

    counts = {"would be sent": 0, "would be rejected": 0}
    for _, events in importing.events(file, mapping, fingerprint(file), window):
        for event in events:
            what = "would be rejected" if event.error else "would be sent"
            counts[what] += 1
            if counts[what] <= show:
                typer.echo(f"{what}: {msgspec.json.encode(importing.describe(event)).decode()}")
    typer.echo(", ".join(f"{count:,} events {what}" for what, count in counts.items()))
    return 1 if counts["would be rejected"] else 0


def _report(done: Summary, path: Path | None) -> None:
    """Print the counts by topic; write them to a file if one is named."""
    names = ("sent", "broken", "duplicates", "acknowledged", "rejected")
    if lost := done.faults.lost.total():
        typer.echo(f"{lost:,} events were lost on purpose")
    typer.echo(f"{'topic':<24}" + "".join(f"{name:>14}" for name in names))
    for topic in sorted(done.sent):
        typer.echo(f"{topic:<24}" + "".join(f"{getattr(done, name)[topic]:>14,}" for name in names))
    total = done.sent.total()
    typer.echo(f"{total:,} records in {done.seconds:.1f} s ({total / max(done.seconds, 0.001):,.0f}/s)")
    if path:
        path.write_text(json.dumps(done.as_dict(), indent=1) + "\n")
