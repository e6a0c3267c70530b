-- The views of the schema `metrics`. They join the published tables with the live ones at the cut-over minute, which
-- stands in one place: `metrics.cutover`. `warehouse/attach.py` fills in what is in braces: {quality_columns} are the
-- columns that both sides share, {published_quality} the same where a file was published before one of them was.

-- Minutes before it are answered by the published tables, minutes from it on by the live ones.
CREATE OR REPLACE VIEW cutover AS
SELECT coalesce(max(cutover_minute), '-infinity'::TIMESTAMPTZ) AS minute FROM warehouse.main.meta;

-- Quality by minute over history and the present.
CREATE OR REPLACE VIEW quality_minute AS
SELECT {published_quality} FROM warehouse.gold.quality_minute WHERE minute < (SELECT minute FROM metrics.main.cutover)
UNION ALL
SELECT {quality_columns} FROM live.main.quality_minute WHERE minute >= (SELECT minute FROM metrics.main.cutover);

-- How current the numbers are, in one row. A gap (minutes that live no longer holds and no publish covers yet) is named.
CREATE OR REPLACE VIEW freshness AS
SELECT
  (SELECT max(publish_id) FROM warehouse.main.meta) AS publish_id,
  (SELECT max(published_at) FROM warehouse.main.meta) AS published_at,
  (SELECT max(cutover_minute) FROM warehouse.main.meta) AS cutover_minute,
  (SELECT max(minute) FROM live.main.quality_minute) AS live_to,
  (SELECT max(received_at) FROM live.main.now) AS live_at,
  (SELECT max(written_at) FROM live.main.meta) AS live_written_at,
  (SELECT max(gap_from) FROM live.main.meta) AS gap_from,
  (SELECT max(gap_to) FROM live.main.meta) AS gap_to;

-- Now, in one row, over all partitions: concurrent viewers, plays of the last closed minute, and what became of the
-- events since the topic's beginning. No row before a stream worker has spoken.
CREATE OR REPLACE VIEW pulse AS
SELECT
  max(received_at) AS received_at,
  sum(concurrent)::BIGINT AS concurrent,
  (
    SELECT coalesce(sum(plays), 0)::BIGINT FROM metrics.main.quality_minute
    WHERE rollup = 'total'
      AND minute = (SELECT date_trunc('minute', max(received_at)) - INTERVAL 1 MINUTE FROM live.main.now)
  ) AS plays_last_minute,
  sum(open_sessions)::BIGINT AS open_sessions,
  sum(events)::BIGINT AS events,
  sum(late)::BIGINT AS late,
  sum(duplicates)::BIGINT AS duplicates,
  sum(rejected)::BIGINT AS rejected
FROM live.main.now HAVING count(*) > 0;

-- Titles that gain viewers: average viewers of the last 5 closed minutes against the 30 minutes before them.
-- `surge` weighs the gain against the noise of small numbers: change / sqrt(viewers_before + 1).
CREATE OR REPLACE VIEW trending_titles AS
WITH clock AS (
  SELECT coalesce(
    (SELECT date_trunc('minute', max(received_at)) FROM live.main.now),
    (SELECT max(minute) + INTERVAL 1 MINUTE FROM live.main.quality_minute WHERE rollup = 'total'),
    (SELECT minute FROM metrics.main.cutover)
  ) AS closed_to
),
windows AS (
  SELECT
    content_id,
    average_viewers(CASE WHEN is_recent THEN watched_ms ELSE 0 END, 5) AS viewers,
    average_viewers(CASE WHEN is_recent THEN 0 ELSE watched_ms END, 30) AS viewers_before,
    sum(CASE WHEN is_recent THEN plays ELSE 0 END)::BIGINT AS plays
  FROM (
    SELECT content_id, watched_ms, plays, minute >= closed_to - INTERVAL 5 MINUTE AS is_recent
    FROM metrics.main.quality_minute, clock
    WHERE rollup = 'title' AND minute >= closed_to - INTERVAL 35 MINUTE AND minute < closed_to
  )
  GROUP BY content_id
)
SELECT
  content_id,
  viewers,
  viewers_before,
  viewers - viewers_before AS change,
  (viewers - viewers_before) / sqrt(viewers_before + 1) AS surge,
  plays
FROM windows
WHERE viewers > 0
ORDER BY surge DESC, content_id;

-- Sessions with every metric that a session has, each at its default settings, and the parts that whole sessions add up
-- by: avg(experience_score), good_stream_share(good_streams, judged_streams), stalled_share(stall_ms, watched_ms).
CREATE OR REPLACE VIEW session_quality AS
SELECT *, {view_parts} FROM (SELECT *, {session_metrics} FROM (SELECT {published_sessions} {sessions_from}));
