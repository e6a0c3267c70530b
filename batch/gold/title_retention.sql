-- Where viewers of a title leave: its plays by the furthest position that they got to, and by the one that they left at,
-- in hundredths of the title's length. title_retention_at() gives the share that was still watching at one of them.
-- Only plays of what has a length, and only those that tell positions; each counts whole on the day it started.
-- owner: content analytics
-- grain: play_date, content_id, position_percent
-- partition: play_date
-- additive: furthest_plays, left_plays
-- fail: unique(play_date, content_id, position_percent)
-- fail: not_null(play_date, position_percent)
-- fail: never(position_percent NOT BETWEEN 0 AND 99)
-- fail: never(least(furthest_plays, left_plays) < 0 OR furthest_plays + left_plays = 0)
SELECT
  start_date AS play_date,  -- day the session started, UTC
  content_id,  -- title
  -- What was told beyond the end is at the end.
  CAST(least(99, 100 * place.position_ms DIV duration_ms) AS INT)
    AS position_percent,  -- n: from n % of the title's length up to n + 1 %, the end with the last
  sum(place.furthest) AS furthest_plays,  -- plays that got this far and no further; what was jumped over is passed
  sum(place.leaving) AS left_plays  -- plays that ended here: after a jump back, before the furthest position
FROM silver.sessions
LATERAL VIEW inline(array(
  named_struct('position_ms', max_position_ms, 'furthest', 1L, 'leaving', 0L),
  named_struct(
    'position_ms', coalesce(end_position_ms, max_position_ms), 'furthest', 0L, 'leaving', if(end_reason = 'open', 0L, 1L)
  )
)) place
WHERE is_started AND duration_ms > 0 AND max_position_ms IS NOT NULL AND NOT coalesce(is_live, false)
  AND place.furthest + place.leaving > 0
GROUP BY ALL
