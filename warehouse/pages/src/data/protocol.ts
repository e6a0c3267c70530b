// Derived by `python -m warehouse.dashboard.protocol` from payload.py; not edited by hand.
// Stamps (`*_at`) are ms of epoch, minutes are seconds of epoch, shares lie in 0..1, null means "not known".

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
}

/** One headline number, and what it was at the same minute earlier. */
export interface Tile {
  readonly metric: "concurrent_viewers" | "plays_per_minute" | "stalled_share" | "start_failure_rate" | "startup_p50_ms" | "startup_p95_ms";
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

/** The last run of the data-quality checks. */
export interface Quality {
  readonly checked_at: number;
  readonly passed: number;
  readonly failed: number;
  readonly status: "failed" | "passed";
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

/** One message of the stream; a `snapshot` holds every live minute, an `update` the changed ones. */
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
  readonly titles: readonly Title[];
  readonly cohorts: readonly Cohort[];
  readonly pipeline: Pipeline;
  readonly links: Links;
}

/** Published minutes of one interval, up to the cut-over minute. */
export interface History {
  readonly publish: Publish;
  readonly minutes: Series;
}
