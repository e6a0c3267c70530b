-- Whole sessions per day, under the day they began and under the day they ended: ask for one of the two, never for both.
-- By start is the rule for engagement (what did Monday's viewers do), by end for quality (what did we know on Monday
-- evening). A session that is still open is in its day of start alone. Minutes, in quality_hourly, split a session
-- instead: each moment counts when it happened.
-- owner: quality of experience
-- grain: bucketed_by, play_date, country, device_type, cdn, app_version, is_live
-- partition: play_date
-- additive: sessions
-- alternatives: bucketed_by
-- fail: unique(bucketed_by, play_date, country, device_type, cdn, app_version, is_live)
-- fail: not_null(bucketed_by, play_date, sessions)
-- fail: in_set(bucketed_by, start, end)
-- fail: never(least($view_part_names) < 0)
-- fail: never(watched_ms <> playing_ms + stall_ms)
-- fail: never(good_streams > judged_streams OR complete_plays > completable_plays OR judged_streams > sessions)
-- warn: rows(min=1)
SELECT
  bucketed_by,  -- start: play_date is the day the session began; end: the day it ended
  if(bucketed_by = 'start', s.start_date, to_date(s.ended_at)) AS play_date,  -- day, UTC
  s.country,  -- ISO 3166-1 alpha-2 code
  s.device_type,  -- smart_tv, mobile or web
  s.cdn,  -- CDN of the session's first event that names one
  s.app_version,  -- version of the app
  s.is_live,  -- live stream
  $view_parts
  $view_histogram
FROM (SELECT *, $session_metrics FROM silver.sessions) AS s
LATERAL VIEW explode(array('start', 'end')) AS bucketed_by
WHERE bucketed_by = 'start' OR s.end_reason <> 'open'
GROUP BY ALL
