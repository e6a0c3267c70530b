-- Viewing per title and day. A session counts whole on the day it started.
-- owner: content analytics
-- grain: play_date, content_id
-- partition: play_date
-- additive: sessions
-- fail: unique(play_date, content_id)
-- fail: not_null(play_date, sessions)
-- fail: never(least(sessions, completed_sessions, $part_names) < 0)
-- fail: never(completed_sessions > sessions)
-- fail: never(watched_ms <> playing_ms + stall_ms)
-- warn: rows(min=1)
SELECT
  start_date AS play_date,  -- day the session started, UTC
  s.content_id,  -- title
  count_if(place = 0) AS sessions,  -- sessions, with or without playback
  count_if(place = 0 AND ($is_complete_play)) AS completed_sessions,  -- plays that got to the last tenth
  sum(if(place = 0, seek_count, 0)) AS seeks,  -- seeks
  sum(if(place = 0, ad_ms, 0)) AS ad_ms,  -- time in ads, ms
  $parts
  $startup_histogram
FROM silver.sessions AS s
LATERAL VIEW posexplode(minutes) AS place, m
GROUP BY ALL
