// Derived by `python -m warehouse.dashboard.protocol` from payload.py and its like; not edited by hand.
// Stamps (`*_at`) are ms of epoch, minutes are seconds of epoch, shares lie in 0..1, null means "not known".

/** A metric on both sides. None: its denominator is 0, or that side holds nothing.

metric   as it is called: the macro, its parts, its arguments
title    for people
causes   those that change any of the parts that it is made of, and UNEXPLAINED; none where the sides are equal */
export interface MetricParity {
  readonly metric: string;
  readonly title: string;
  readonly unit: string;
  readonly live: number | null;
  readonly batch: number | null;
  readonly causes: readonly string[];
}

/** One row a minute over everything that is watched, as columns of equal length, oldest first. */
export interface Series {
  readonly minute: readonly number[];
  /** Average number of concurrent viewers within the minute. */
  readonly viewers: readonly (number | null)[];
  readonly plays: readonly number[];
  readonly startup_p50_ms: readonly (number | null)[];
  readonly startup_p95_ms: readonly (number | null)[];
  readonly stalled_share: readonly (number | null)[];
  readonly start_failure_rate: readonly (number | null)[];
  readonly start_failures: readonly number[];
  readonly playback_failure_rate: readonly (number | null)[];
}

/** One value a second over everything that is watched, by the second in which it came, without a hole. */
export interface Seconds {
  /** The second of the first value, of epoch. */
  readonly first: number;
  /** Seconds before it are no part of the hour any more. */
  readonly kept_from: number;
  readonly concurrent: readonly (number | null)[];
  readonly plays: readonly number[];
  /** Of the start and of the playback. */
  readonly failures: readonly number[];
}

/** One headline number, and what it was at the same minute earlier. */
export interface Tile {
  readonly metric: "attempts_per_second" | "concurrent_viewers" | "playback_failure_rate" | "stalled_share" | "start_failure_rate" | "startup_p50_ms" | "startup_p95_ms";
  readonly value: number | null;
  readonly hour_ago: number | null;
  readonly day_ago: number | null;
  readonly week_ago: number | null;
}

/** A title in the ranking. */
export interface Title {
  readonly content_id: string;
  readonly viewers: number;
  readonly plays: number;
  readonly stalled_share: number | null;
  /** Average viewers of the settled minutes of the window less those of as many minutes before it. */
  readonly change: number;
}

/** Viewers of one country on one kind of device. */
export interface Cohort {
  readonly country: string;
  readonly device_type: string;
  readonly viewers: number;
  readonly plays: number;
  readonly stalled_share: number | null;
}

/** Viewers of one country who are served by one CDN in one version of the app. */
export interface Delivery {
  readonly cdn: string;
  readonly app_version: string;
  readonly country: string;
  readonly viewers: number;
  readonly plays: number;
  readonly startup_p95_ms: number | null;
  readonly stalled_share: number | null;
  /** Start failures and playback failures by plays; of plays that began before the window it may be above 1. */
  readonly failure_rate: number | null;
}

/** The last run of the data-quality checks. */
export interface Quality {
  readonly checked_at: number;
  readonly passed: number;
  readonly failed: number;
  readonly status: "failed" | "passed";
}

/** How the last comparison of live with batch came out. */
export interface ParityState {
  readonly compared_at: number;
  readonly rows: number;
  readonly rows_equal: number;
  /** Rows before the cut-over, which both sides hold whole. */
  readonly whole_rows: number;
  readonly whole_rows_equal: number;
  /** Values that their own records do not give: not one may be. */
  readonly unexplained: number;
}

/** How the machinery behind the numbers does. */
export interface Pipeline {
  readonly events_per_s: number | null;
  readonly events: number;
  readonly late: number;
  readonly duplicates: number;
  readonly rejected: number;
  readonly open_sessions: number;
  /** Age of the live numbers when the server sent them. */
  readonly lag_ms: number | null;
  readonly quality: Quality | null;
  readonly parity: ParityState | null;
}

/** Where the header leads. */
export interface Links {
  readonly airflow: string;
  readonly quality: string | null;
  readonly collector: string;
}

/** What batch has published last; all null before the first time. */
export interface Publish {
  readonly publish_id: string | null;
  readonly published_at: number | null;
  /** Minutes before it are history, minutes from it on are live. */
  readonly cutover_minute: number | null;
}

/** What a row is about. */
export interface Dimension {
  readonly name: string;
  readonly value: string | null;
}

/** An alert: a cohort whose metric left its range. */
export interface AlertShown {
  readonly id: string;
  readonly rule: string;
  readonly severity: "critical" | "warning";
  readonly metric: string;
  /** The metric's, for people. */
  readonly title: string;
  readonly unit: string;
  readonly cohort: readonly Dimension[];
  readonly began_at: number;
  readonly opened_at: number;
  readonly closed_at: number | null;
  readonly value: number | null;
  readonly peak: number | null;
  readonly expected: number | null;
  readonly limit: number;
  readonly is_high: boolean;
  readonly sample: number | null;
  readonly sample_unit: string | null;
  /** Other cohorts that are out of range because of this one. */
  readonly covers: number;
  /** Parameters of the page Quality, at this cohort, metric and time. */
  readonly question: string;
}

/** One message of the stream; a `snapshot` holds every live minute and second, an `update` the changed ones. */
export interface Live {
  readonly kind: "snapshot" | "update";
  readonly sequence: number;
  /** Changes when other pages are served: an open page then loads itself anew. */
  readonly page_build: string;
  readonly server_at: number;
  /** Up to when the live numbers are whole: the stamp of the partition furthest behind; null before the first. */
  readonly live_at: number | null;
  readonly publish: Publish;
  /** First minute of which live holds everything; later than the cut-over when publishing is long overdue. */
  readonly live_from: number | null;
  /** Whole minutes that titles, cohorts and the ratios of the tiles look back. */
  readonly window_minutes: number;
  readonly tiles: readonly Tile[];
  readonly minutes: Series;
  /** The last hour; null before a stream worker has spoken for one. */
  readonly seconds: Seconds | null;
  readonly titles: readonly Title[];
  readonly cohorts: readonly Cohort[];
  readonly deliveries: readonly Delivery[];
  /** Open ones first, then those that closed in the last hours. */
  readonly alerts: readonly AlertShown[];
  readonly pipeline: Pipeline;
  readonly links: Links;
}

/** Published minutes of one interval, up to the cut-over minute. */
export interface History {
  readonly publish: Publish;
  readonly minutes: Series;
}

/** Why live and batch may differ. */
export interface Cause {
  readonly cause: string;
  readonly meaning: string;
}

/** How much a cause adds on the way from live to batch. */
export interface Amount {
  readonly cause: string;
  readonly amount: number;
}

/** A part on both sides: live + all causes + batch_unexplained - live_unexplained = batch. */
export interface ParityPart {
  readonly part: string;
  readonly live: number;
  readonly batch: number;
  readonly causes: readonly Amount[];
  readonly live_unexplained: number;
  readonly batch_unexplained: number;
}

/** A minute of a rollup in which live and batch differ. */
export interface ParityRow {
  readonly minute: number;
  readonly rollup: string;
  readonly dimensions: readonly Dimension[];
  readonly parts: readonly ParityPart[];
  readonly metrics: readonly MetricParity[];
}

/** One comparison of the past. */
export interface ParityPoint {
  readonly compared_at: number;
  readonly publish_id: string | null;
  readonly whole_rows: number;
  readonly whole_rows_equal: number;
  readonly unexplained: number;
  /** Of the events. */
  readonly causes: readonly Amount[];
  /** Batch less live of each metric of `Parity.metrics`, in that order; null where one of them is not known. */
  readonly differences: readonly (number | null)[];
}

/** The newest comparison of live with batch, and how the last ones came out. */
export interface Parity {
  /** Null before the first comparison; the lists are empty then. */
  readonly state: ParityState | null;
  readonly publish_id: string | null;
  readonly first_minute: number | null;
  readonly end_minute: number | null;
  /** Metrics are compared over the minutes before it, which both sides hold whole. */
  readonly cutover_minute: number | null;
  /** Received in the window: they are in neither side. */
  readonly dead_letters: number;
  readonly causes: readonly Cause[];
  /** Over everything that is watched. */
  readonly parts: readonly ParityPart[];
  /** Over everything that is watched. */
  readonly metrics: readonly MetricParity[];
  /** What is unexplained first, then what is over everything, then by dimensions; of each the newest minutes first. */
  readonly rows: readonly ParityRow[];
  /** The last comparisons, oldest first. */
  readonly trend: readonly ParityPoint[];
}

/** A metric that can be chosen. */
export interface MeasureOption {
  readonly name: string;
  readonly title: string;
  readonly subject: string;
  readonly meaning: string;
  readonly formula: string;
  readonly unit: string;
  readonly worse: "higher" | "lower" | null;
  /** What a ratio is divided by, with its unit: how much a value is made of. Null for sums and counts. */
  readonly sample_unit: string | null;
  /** Why it cannot be asked by cohort; empty when it can. */
  readonly why_not: string;
}

/** What cohorts can be told apart by. */
export interface DimensionOption {
  readonly name: string;
  readonly title: string;
}

/** Everything that can be asked. */
export interface CohortCatalog {
  readonly measures: readonly MeasureOption[];
  readonly dimensions: readonly DimensionOption[];
}

/** What an answer was made of, and how current that is. */
export interface Basis {
  /** Null: the question cannot be answered; `why` says why not. */
  readonly source: "minutes" | "sessions" | null;
  /** Why it is not answered from minutes, which reach up to now. */
  readonly why: string;
  readonly start_at: number;
  /** The stretch [start, stop) that was asked; sessions end at the cut-over. */
  readonly stop_at: number;
  /** Up to when the live numbers in it are whole; null when there are none in it. */
  readonly live_at: number | null;
  readonly publish: Publish;
}

/** A metric of a group of viewers. */
export interface CohortValue {
  /** Of the dimensions that were asked for, in their order; null is unknown. */
  readonly values: readonly (string | null)[];
  readonly value: number | null;
  /** In the unit of the measure's `sample_unit`. */
  readonly sample: number | null;
}

/** A metric by dimensions. */
export interface Cohorts {
  readonly basis: Basis;
  /** Over all cohorts. */
  readonly whole: CohortValue | null;
  /** Worst first, those with too small a sample last; without a worse side the largest first. */
  readonly cells: readonly CohortValue[];
  /** Place of the first cohort whose sample is too small. */
  readonly small_from: number;
  /** By the first dimension alone, in the same order; empty when one was asked for. */
  readonly totals: readonly CohortValue[];
  /** Cohorts that are not sent, because there are too many: those of the smallest sample. */
  readonly left_out: number;
  /** The question that gave this answer, for anyone who wants to go on from it; null where there was none. */
  readonly sql: string | null;
}

/** A metric over time, as columns of equal length, oldest first. Stretches without rows have no place. */
export interface TrendLine {
  readonly at: readonly number[];
  readonly value: readonly (number | null)[];
  readonly sample: readonly (number | null)[];
}

/** A cohort's metric over time, beside everything's. */
export interface CohortTrend {
  readonly basis: Basis;
  readonly step_s: number;
  readonly cohort: TrendLine;
  readonly everything: TrendLine;
}

/** A session in the list, with what a first look needs. */
export interface SessionOfCohort {
  readonly session_id: string;
  readonly user_id: string | null;
  readonly content_id: string | null;
  readonly country: string | null;
  readonly device_type: string | null;
  readonly cdn: string | null;
  readonly app_version: string | null;
  readonly started_at: number;
  readonly ended_at: number;
  readonly end_reason: string;
  readonly error_code: string | null;
  /** The metric that the list is sorted by, of this session alone. */
  readonly value: number | null;
  readonly startup_ms: number | null;
  readonly watched_ms: number;
  readonly stall_count: number;
  readonly stall_ms: number;
  readonly average_bitrate_kbps: number | null;
  readonly experience_score: number | null;
}

/** Published sessions. */
export interface SessionList {
  readonly basis: Basis;
  readonly sessions: readonly SessionOfCohort[];
  /** How many there are; the list holds the first of them. */
  readonly total: number;
}

/** A session that was found. */
export interface SessionHit {
  readonly session_id: string;
  readonly user_id: string | null;
  readonly content_id: string | null;
  readonly country: string | null;
  readonly device_type: string | null;
  readonly started_at: number;
  readonly ended_at: number;
  readonly end_reason: string;
  readonly error_code: string | null;
  readonly startup_ms: number | null;
  readonly watched_ms: number;
  readonly stall_ms: number;
  readonly experience_score: number | null;
}

/** Sessions with this id, and those of the user of this id, newest first. */
export interface SessionSearch {
  readonly publish: Publish;
  /** Start of the oldest published session: older ones are in the lake only. Null when none is published. */
  readonly first_at: number | null;
  readonly total: number;
  readonly hits: readonly SessionHit[];
}

/** A column of the session's row. One of `number` and `text` is told, neither where it is not known. */
export interface SessionFigure {
  readonly name: string;
  readonly title: string;
  readonly kind: "count" | "score" | "time" | "who";
  /** `stamp` are ms of epoch; empty where there is none. */
  readonly unit: string;
  readonly doc: string;
  readonly number: number | null;
  readonly text: string | null;
}

/** What the player did between two events, as the fold behind every metric sees it. */
export interface Phase {
  readonly name: "ad" | "ad stalled" | "ended" | "idle" | "paused" | "playing" | "seeking" | "stalled" | "starting";
  readonly start_at: number;
  readonly stop_at: number;
}

/** A number over time, as columns of equal length, oldest first. */
export interface Line {
  readonly at: readonly number[];
  readonly value: readonly number[];
}

/** A field of an event that the client told, or a column that was added on the way. */
export interface RawField {
  readonly name: string;
  readonly value: string;
}

/** One event as silver has it. */
export interface TimelineEvent {
  readonly event_id: string;
  readonly at: number;
  readonly received_at: number;
  readonly event_type: string;
  readonly table: string;
  readonly seq: number | null;
  readonly position_ms: number | null;
  readonly bitrate_kbps: number | null;
  /** Reason, error code, quality, player state: what the event tells beside its numbers. */
  readonly detail: string;
  /** The phase after it; empty where it does not take part. */
  readonly phase: string;
  readonly fields: readonly RawField[];
}

/** One session: what the metrics made of it, and the events that they made it of. */
export interface SessionView {
  readonly publish: Publish;
  readonly session_id: string;
  /** Of the published row; empty when no published session has the id. */
  readonly figures: readonly SessionFigure[];
  readonly started_at: number | null;
  readonly ended_at: number | null;
  readonly events: readonly TimelineEvent[];
  readonly events_left_out: number;
  /** Why there are no events; empty when they could be read. */
  readonly events_problem: string;
  /** How long the lake took to find them. */
  readonly read_ms: number;
  readonly phases: readonly Phase[];
  readonly bitrate: Line;
  readonly buffer: Line;
  readonly position: Line;
}

/** A title over the stretch, from minutes: history and live. */
export interface TitleRow {
  readonly content_id: string;
  /** As the published catalogue has it; null when it does not know the title. */
  readonly name: string | null;
  /** Average number of concurrent viewers over the stretch. */
  readonly viewers: number;
  readonly plays: number;
  readonly watched_ms: number;
  readonly stalled_share: number | null;
  readonly start_failure_rate: number | null;
  readonly startup_p95_ms: number | null;
  /** Average viewers of the last 5 closed minutes less those of the 30 before them; null when nobody watches now. */
  readonly change: number | null;
  /** The change against the noise of small numbers. */
  readonly surge: number | null;
}

/** The titles that were watched, the most watched first. */
export interface TitleList {
  readonly publish: Publish;
  readonly start_at: number;
  readonly stop_at: number;
  readonly live_at: number | null;
  readonly total: number;
  readonly titles: readonly TitleRow[];
}

/** A title over time, as columns of equal length, oldest first. */
export interface Audience {
  readonly at: readonly number[];
  readonly viewers: readonly number[];
  readonly plays: readonly number[];
}

/** How far plays get, by hundredths of the title's length: 0 to 99, the last one holds the end. */
export interface Retention {
  readonly plays: number;
  readonly first_day: string;
  readonly last_day: string;
  /** Share of the plays that got there or beyond: 1 at the start, never rising. */
  readonly reached: readonly number[];
  /** Plays that ended there. */
  readonly left: readonly number[];
}

/** One title: its audience, and where viewers leave. */
export interface TitleView {
  readonly content_id: string;
  readonly name: string | null;
  readonly step_s: number;
  readonly start_at: number;
  readonly stop_at: number;
  readonly audience: Audience;
  /** Null when no play of the days tells positions: live streams, or nothing published yet. */
  readonly retention: Retention | null;
  /** Different viewers of the published sessions that began in the stretch. */
  readonly viewers: number;
  readonly complete_play_rate: number | null;
  readonly valid_play_rate: number | null;
  readonly experience_score: number | null;
  /** Published sessions end there; null before the first publish. */
  readonly sessions_to_at: number | null;
}

/** How far the readers of a partition are behind its end, in records, and how fast all are. */
export interface PartitionFlow {
  readonly topic: string;
  readonly partition: number;
  /** Offset after the newest record. */
  readonly end: number;
  /** Null: the sink has not said where it is. */
  readonly sink_lag: number | null;
  /** Null: no stream worker reads this topic, or it has not said where it is. */
  readonly worker_lag: number | null;
  /** Records a second over the last readings; null until there are two. */
  readonly in_per_s: number | null;
  readonly sink_per_s: number | null;
  readonly worker_per_s: number | null;
}

/** Kafka's topics of events and their readers. */
export interface Flow {
  readonly read_at: number | null;
  /** Time over which the speeds are told. */
  readonly over_ms: number | null;
  readonly partitions: readonly PartitionFlow[];
  readonly problem: string;
}

/** A table of the lake as its newest version is; of `live` and `published` the file that serves it. */
export interface TableState {
  readonly layer: "bronze" | "gold" | "live" | "published" | "silver";
  readonly table: string;
  readonly version: number | null;
  /** The version that the published file holds; null where it holds none. */
  readonly published_version: number | null;
  readonly changed_at: number;
  /** Received time up to which it holds every record; null where it does not say. */
  readonly as_of: number | null;
  readonly rows: number | null;
  readonly size_bytes: number | null;
  readonly files: number | null;
}

/** Dead letters of one reason. */
export interface LetterCount {
  readonly topic: string;
  readonly reason: string;
  readonly meaning: string;
  readonly total: number;
  /** By hours of received time, up to the running one. */
  readonly hours: readonly number[];
  readonly newest_at: number;
}

/** One of the newest. */
export interface NewestLetter {
  /** topic/partition/offset, as `playlake deadletters show` takes it. */
  readonly place: string;
  readonly received_at: number;
  readonly reason: string;
  readonly field: string | null;
  readonly detail: string;
}

/** Dead letters of the last days. */
export interface Letters {
  readonly days: number;
  readonly first_hour_at: number;
  /** Most of them first. */
  readonly counts: readonly LetterCount[];
  readonly newest: readonly NewestLetter[];
  readonly problem: string;
}

/** A publish of gold. */
export interface PublishRun {
  readonly publish_id: string;
  readonly committed_at: number;
  /** Received time up to which it holds every record. */
  readonly as_of: number | null;
  /** Of all its tables, as they were audited; null where the audit is no longer there. */
  readonly rows: number | null;
  /** From the beginning of its stage to its commit. */
  readonly took_ms: number | null;
  readonly is_current: boolean;
}

/** One audit of a staged layer. */
export interface AuditRun {
  readonly run_id: string;
  readonly layer: string;
  readonly stage_id: string;
  readonly checked_at: number;
  readonly took_ms: number;
  readonly state: "broken" | "failed" | "passed" | "warning";
  readonly tables: number;
  readonly rows: number;
  readonly passed: number;
  readonly warnings: number;
  /** Broken ones, too. */
  readonly failed: number;
  /** The checks that stopped it: table, check, what was found. */
  readonly wrong: readonly string[];
}

/** What a publish changed of what had been published before: a row of gold.restatements. */
export interface Restated {
  readonly table: string;
  readonly day: string | null;
  readonly alternative: string | null;
  readonly metric: string;
  readonly old_value: number | null;
  readonly new_value: number | null;
  readonly change: number | null;
  readonly events: number | null;
  readonly publish_id: string | null;
  readonly restated_at: number;
}

/** A part of the platform as its supervisor sees it. */
export interface Process {
  readonly name: string;
  readonly state: string;
  readonly is_well: boolean;
  readonly since: number;
  readonly restarts: number;
  readonly why: string;
  readonly url: string;
}

/** Everything behind the numbers at one moment. */
export interface PipelineView {
  readonly read_at: number;
  readonly publish: Publish;
  readonly flow: Flow;
  readonly tables: readonly TableState[];
  readonly tables_problem: string;
  readonly letters: Letters;
  readonly publishes: readonly PublishRun[];
  /** From the publish in force to its file, which readers use; null before the first. */
  readonly built_ms: number | null;
  readonly audits: readonly AuditRun[];
  readonly restated: readonly Restated[];
  readonly restated_total: number;
  readonly processes: readonly Process[];
  /** `none`: nothing was ever supervised here, as where each part is a service of its own; `gone`: it has died. */
  readonly supervisor: "failed" | "gone" | "none" | "starting" | "stopped" | "stopping" | "up";
}
