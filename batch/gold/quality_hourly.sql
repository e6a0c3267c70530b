-- Quality by hour, to be sliced by any of its dimensions. Titles are in title_daily.
-- owner: quality of experience
-- grain: hour, country, device_type, cdn, app_version
-- partition: play_date
-- additive: events, watched_ms
-- fail: unique(hour, country, device_type, cdn, app_version)
-- fail: not_null(hour, play_date)
-- fail: never(least($part_names) < 0)
-- fail: never(watched_ms <> playing_ms + stall_ms)
-- warn: rows(min=1)
SELECT
  to_date(m.minute) AS play_date,  -- day of the hour, UTC
  date_trunc('HOUR', m.minute) AS hour,  -- start of the hour in which it happened, UTC
  m.country,  -- ISO 3166-1 alpha-2 code
  m.device_type,  -- smart_tv, mobile or web
  m.cdn,  -- CDN
  m.app_version,  -- version of the app
  $parts
  $startup_histogram
FROM silver.sessions
LATERAL VIEW explode(minutes) AS m
GROUP BY ALL
