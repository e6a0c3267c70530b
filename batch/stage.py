"""Write, audit, publish: nobody sees a half-checked number. The commands, in order:

    playlake stage silver      bronze → staged silver            batch      exit 99: nothing new, stop here
    playlake quality silver    checks on what is staged          warehouse  exit 1: a fail-check failed
    playlake commit silver     staged → silver                   batch      refuses what was not audited
    playlake stage gold        silver → staged gold              batch      exit 99: nothing new, stop here
    playlake quality gold      checks on what is staged          warehouse  exit 1: a fail-check failed
    playlake publish           staged → gold, publish.json       batch      refuses what was not audited
    playlake warehouse-build   published versions → DuckDB file  warehouse

`stage` takes `--from DAY --to DAY` (both inclusive) to restate whole days in place of "what is new". `playlake batch`
runs the whole row. Each step is a process of its own; what it hands to the next lies in the lake, in
`<lake>/staging/<layer>/`:

    <table>/             Delta. The rows that a commit will put: of silver the new and restated rows, of gold the whole
                         new content of the partitions named in the manifest. **This is what the audit checks**, at the
                         version that the manifest names (`Table.staging_path(lake_root)`, time travel; the latest
                         version may belong to a later stage). It may have no rows: then only removals are staged.
    <table>__removed/    Delta, silver only. Keys of the rows that go: restated ones, and sessions that are no more.
    manifest.json        `schemas.stage.Manifest`: stage id, and for each table the staged version, the version of the
                         target it was computed from, source versions. Written last: what it names is complete.
    audit.json           `schemas.stage.Audit`, written by `playlake quality`: stage id and the versions it looked at, copied
                         from the manifest (`Manifest.versions()`), verdict, failed checks.

A table that is not in the manifest has nothing staged. `commit` goes on only if the audit is of exactly this stage
(`schemas.stage.require_audit`), and each target is still at the version that the stage was computed from: Delta's own
transaction identifier makes that a compare-and-set, so of two commits at once one wins, and the other finds its work
done (same stage) or is refused (another stage; stage again). Committing twice changes nothing.

Progress is nowhere but in the targets' Delta logs: each commit carries `{"stage_id", "sources", "now"}` in its
userMetadata (`Progress`), and the newest one that has it is the watermark (`batch/history.py`).
"""
