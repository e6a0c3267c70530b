"""What the dashboard asks. Every ratio and quantile is a macro of `warehouse/metrics.sql`, called here, made nowhere.

`live.quality_minute` holds the live minutes, `metrics.quality_minute` history and live joined at the cut-over minute.
The clock of every question is `$at`, the newest stamp of the live state: a standing state gives the same answer twice.
"""

from __future__ import annotations

_MINUTES = """
WITH minutes AS (
    SELECT minute,
           average_viewers(watched_ms, 1)            AS viewers,
           sum(plays)::BIGINT                        AS plays,
           startup_histogram_sum(startup_histogram)  AS startups,
           stalled_share(stall_ms, watched_ms)       AS stalled_share,
           start_failure_rate(start_failures, plays) AS start_failure_rate,
           sum(start_failures)::BIGINT               AS start_failures,
           playback_failure_rate(playback_failures, plays) AS playback_failure_rate
    FROM {table} WHERE rollup = 'total' AND minute >= $start AND minute < $stop GROUP BY minute
)
SELECT * EXCLUDE (startups) REPLACE (epoch(minute)::BIGINT AS minute),
       startup_histogram_quantile_ms(startups, 0.5)  AS startup_p50_ms,
       startup_histogram_quantile_ms(startups, 0.95) AS startup_p95_ms
FROM minutes ORDER BY minute
"""
LIVE_MINUTES = _MINUTES.format(table="live.quality_minute")
PUBLISHED_MINUTES = _MINUTES.format(table="gold.quality_minute")

# The headline numbers as they stood at the end of a stretch: the counts of one full minute, the ratios of the stretch.
_HEADLINES = """
WITH stretch AS (
    SELECT average_viewers(CASE WHEN minute = $minute THEN watched_ms ELSE 0 END, 1) AS concurrent_viewers,
           attempts_per_second(CASE WHEN minute = $minute THEN plays ELSE 0 END, 60) AS attempts_per_second,
           startup_histogram_sum(startup_histogram)                                  AS startups,
           stalled_share(stall_ms, watched_ms)                                       AS stalled_share,
           start_failure_rate(start_failures, plays)                                 AS start_failure_rate,
           playback_failure_rate(playback_failures, plays)                           AS playback_failure_rate
    FROM {table} WHERE rollup = 'total' AND minute >= $start AND minute < $stop
    HAVING count(*) > 0
)
SELECT * EXCLUDE (startups),
       startup_histogram_quantile_ms(startups, 0.5)  AS startup_p50_ms,
       startup_histogram_quantile_ms(startups, 0.95) AS startup_p95_ms
FROM stretch
"""
LIVE_HEADLINES = _HEADLINES.format(table="live.quality_minute")
HEADLINES = _HEADLINES.format(table="metrics.quality_minute")

SECONDS = """
SELECT epoch(min(second))::BIGINT AS first, first AS kept_from, list(concurrent ORDER BY second) AS concurrent,
       list(plays ORDER BY second) AS plays, list(start_failures + playback_failures ORDER BY second) AS failures
FROM live.quality_second
"""
LAST_60_SECONDS = """
SELECT attempts_per_second(plays, 60) AS attempts_per_second
FROM (SELECT plays FROM live.quality_second ORDER BY second DESC LIMIT 60) HAVING count(*) = 60
"""

# The trend leaves the last full minute out: watched time is known only when the next heartbeat comes, so minutes that
# have just ended are still filling and would make every title look like falling.
TITLES = """
WITH stretch AS (
    SELECT coalesce(content_id, '') AS content_id, minute < $settled AS is_settled, minute >= $start AS is_recent,
           watched_ms, stall_ms, plays
    FROM live.quality_minute WHERE rollup = 'title' AND minute BETWEEN $before AND $at
)
SELECT content_id,
       average_viewers(CASE WHEN is_recent THEN watched_ms ELSE 0 END, $minutes)                       AS viewers,
       sum(CASE WHEN is_recent THEN plays ELSE 0 END)::BIGINT                                          AS plays,
       stalled_share(CASE WHEN is_recent THEN stall_ms END, CASE WHEN is_recent THEN watched_ms END)   AS stalled_share,
       average_viewers(CASE WHEN is_recent AND is_settled THEN watched_ms ELSE 0 END, $settled_minutes)
         - average_viewers(CASE WHEN is_recent THEN 0 ELSE watched_ms END, $settled_minutes)           AS change
FROM stretch GROUP BY content_id HAVING count(*) FILTER (is_recent) > 0
ORDER BY viewers DESC, plays DESC, content_id LIMIT $top
"""

COHORTS = """
WITH stretch AS (
    SELECT * REPLACE (coalesce(country, '') AS country, coalesce(device_type, '') AS device_type)
    FROM live.quality_minute WHERE rollup = 'country_device' AND minute BETWEEN $start AND $at
),
countries AS (
    SELECT country, average_viewers(watched_ms, $minutes) AS viewers, stalled_share(stall_ms, watched_ms) AS share
    FROM stretch GROUP BY country ORDER BY viewers DESC, country LIMIT $top
)
SELECT country, device_type, average_viewers(watched_ms, $minutes) AS viewers, sum(plays)::BIGINT AS plays,
       stalled_share(stall_ms, watched_ms) AS stalled_share
FROM stretch JOIN countries USING (country)
GROUP BY country, device_type, countries.share
ORDER BY countries.share DESC NULLS LAST, country, device_type
"""

DELIVERIES = """
WITH stretch AS (
    SELECT coalesce(cdn, '') AS cdn, coalesce(app_version, '') AS app_version, coalesce(country, '') AS country,
           average_viewers(watched_ms, $minutes)                             AS viewers,
           sum(plays)::BIGINT                                                AS plays,
           startup_histogram_sum(startup_histogram)                          AS startups,
           stalled_share(stall_ms, watched_ms)                               AS stalled_share,
           start_failure_rate(start_failures, plays) + playback_failure_rate(playback_failures, plays) AS failure_rate
    FROM live.quality_minute WHERE rollup = 'cdn_app_country' AND minute BETWEEN $start AND $at GROUP BY ALL
    ORDER BY viewers DESC, country, cdn, app_version LIMIT $top
)
SELECT * EXCLUDE (startups), startup_histogram_quantile_ms(startups, 0.95) AS startup_p95_ms FROM stretch
"""

NOW = """
SELECT count(*) AS partitions, epoch_ms(max(received_at)) AS newest_at, epoch_ms(min(received_at)) AS oldest_at,
       sum(concurrent)::BIGINT AS concurrent, sum(open_sessions)::BIGINT AS open_sessions,
       sum(events)::BIGINT AS events,
       sum(late)::BIGINT AS late, sum(duplicates)::BIGINT AS duplicates, sum(rejected)::BIGINT AS rejected
FROM live.now
"""

# What live holds whole: from where on, and after which gap.
HELD = """
SELECT (SELECT epoch(max(gap_to))::BIGINT FROM live.meta) AS gap_to,
       (SELECT epoch(min(minute))::BIGINT FROM live.quality_minute) AS first
"""

# Of the open ones that first which explains most: the others may be its effects. Of the closed ones the newest.
ALERTS = """
SELECT record FROM live.alerts WHERE is_open OR closed_at >= $recent
ORDER BY is_open DESC, is_open AND severity = 'critical' DESC, if(is_open, covers, NULL) DESC, opened_at DESC, id
LIMIT 50
"""
