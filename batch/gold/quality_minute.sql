-- Quality by minute: the additive parts of every named rollup, with the grain and the dimensions of the live numbers.
-- owner: quality of experience
-- grain: rollup, minute, content_id, country, device_type, cdn, app_version
-- partition: play_date
-- additive: events, watched_ms
-- alternatives: rollup
-- fail: unique(rollup, minute, content_id, country, device_type, cdn, app_version)
-- fail: not_null(rollup, minute, play_date)
-- fail: in_set(rollup, $rollup_names)
-- fail: never(least($part_names) < 0)
-- fail: never(watched_ms <> playing_ms + stall_ms)
-- warn: rows(min=1)
SELECT
  play_date,  -- day of the minute, UTC
  minute,  -- start of the minute in which it happened, UTC
  $rollup AS rollup,  -- named rollup; the dimensions that it does not keep are null in its rows
  content_id,  -- title
  country,  -- ISO 3166-1 alpha-2 code
  device_type,  -- smart_tv, mobile or web
  cdn,  -- CDN
  app_version,  -- version of the app
  $parts
  $startup_histogram
FROM (SELECT to_date(each.minute) AS play_date, each.* FROM silver.sessions LATERAL VIEW explode(minutes) AS each) AS m
GROUP BY play_date, minute, GROUPING SETS ($rollups)
