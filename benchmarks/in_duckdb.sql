-- What silver and gold make of bronze, as one would write it in SQL for DuckDB: events once, sessions, minutes, rollups.
-- benchmarks/in_duckdb.py fills in what has a dollar sign. It knows the vocabulary of the recording and no more;
-- docs/benchmarks.md says what that leaves out.

CREATE TEMP VIEW bronze AS
SELECT *, occurred_at::DATE AS event_date FROM $bronze;

-- Events, each once: few have a copy, so only ids are grouped, and what is later than its first copy is left out.
CREATE TEMP TABLE later AS
SELECT group_id, partition, "offset"
FROM (
  SELECT
    group_id, partition, "offset",
    row_number() OVER (PARTITION BY event_id ORDER BY received_at, partition, "offset") AS place
  FROM bronze
  WHERE event_id IN (SELECT event_id FROM bronze GROUP BY event_id HAVING count(*) > 1)
)
WHERE place > 1;

COPY (SELECT * EXCLUDE (received_date) FROM bronze ANTI JOIN later USING (partition, "offset"))
TO '$out/events' (FORMAT parquet, PARTITION_BY (event_date));

CREATE TEMP VIEW events AS
SELECT * FROM read_parquet('$out/events/**/*.parquet', hive_partitioning => true);

-- Each event with what it leads to, and until when that lasts.
CREATE TEMP TABLE steps AS
SELECT
  group_id, at_ms, event_type,
  least(lead(at_ms, 1, at_ms) OVER following, at_ms + $timeout_ms) AS until_ms,
  last_value(CASE event_type
    WHEN 'play' THEN 'starting' WHEN 'first_frame' THEN 'playing' WHEN 'resume' THEN 'playing'
    WHEN 'stall_start' THEN 'stalled' WHEN 'stall_end' THEN 'playing' WHEN 'pause' THEN 'paused' WHEN 'stop' THEN 'ended'
  END IGNORE NULLS) OVER so_far AS phase,
  last_value(bitrate_kbps IGNORE NULLS) OVER so_far AS kbps,
  last_value(bitrate_kbps IGNORE NULLS) OVER before AS kbps_before
FROM (SELECT group_id, epoch_ms(occurred_at) AS at_ms, seq, event_type, bitrate_kbps FROM events)
WINDOW
  following AS (PARTITION BY group_id ORDER BY at_ms, seq),
  so_far AS (PARTITION BY group_id ORDER BY at_ms, seq ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW),
  before AS (PARTITION BY group_id ORDER BY at_ms, seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING);

CREATE TEMP TABLE folded AS
SELECT
  group_id,
  min(at_ms) AS first_ms,
  max(at_ms) AS last_ms,
  min(at_ms) FILTER (event_type = 'play') AS play_ms,
  min(at_ms) FILTER (event_type = 'first_frame') AS first_frame_ms,
  bool_or(phase = 'playing') AS is_started,
  bool_or(event_type = 'stop') AS is_stopped,
  coalesce(sum(until_ms - at_ms) FILTER (phase = 'starting'), 0)::BIGINT AS starting_ms,
  coalesce(sum(until_ms - at_ms) FILTER (phase = 'playing'), 0)::BIGINT AS playing_ms,
  coalesce(sum(until_ms - at_ms) FILTER (phase = 'playing' AND kbps IS NOT NULL), 0)::BIGINT AS bitrate_media_ms,
  coalesce(sum((until_ms - at_ms) * kbps) FILTER (phase = 'playing'), 0)::BIGINT AS bits_played,
  coalesce(sum(until_ms - at_ms) FILTER (phase = 'stalled'), 0)::BIGINT AS stall_ms,
  coalesce(sum(until_ms - at_ms) FILTER (phase = 'paused'), 0)::BIGINT AS paused_ms,
  count(*) FILTER (event_type = 'stall_start') AS stall_count,
  count(*) FILTER (event_type = 'pause') AS pause_count,
  count(*) FILTER (event_type = 'quality_change' AND kbps <> kbps_before) AS bitrate_switch_count
FROM steps
GROUP BY group_id;

CREATE TEMP TABLE told AS
SELECT
  group_id,
  any_value(session_id) AS session_id,
  any_value(user_id) AS user_id,
  any_value(profile_id) AS profile_id,
  any_value(content_id) AS content_id,
  any_value(device_type) AS device_type,
  any_value(country) AS country,
  any_value(region) AS region,
  any_value(app_version) AS app_version,
  any_value(player_version) AS player_version,
  any_value(cdn) AS cdn,
  any_value(connection_type) AS connection_type,
  any_value(is_live) AS is_live,
  any_value(duration_ms) AS duration_ms,
  any_value(extra) AS extra,
  max(position_ms) AS furthest_ms,
  arg_max(position_ms, occurred_at) AS end_position_ms,
  count(*) AS event_count,
  coalesce(greatest(0, max(seq) - min(seq) - 1), 0) AS expected_event_count,
  coalesce(greatest(0, max(seq) - min(seq) + 1 - count(seq)), 0) AS missing_event_count,
  min(received_at) AS first_received_at,
  max(received_at) AS last_received_at
FROM events
GROUP BY group_id;

CREATE TEMP TABLE sessions AS
SELECT
  told.* EXCLUDE (furthest_ms),
  make_timestamptz(first_ms * 1000) AS started_at,
  make_timestamptz(last_ms * 1000) AS ended_at,
  make_timestamptz(first_ms * 1000)::DATE AS start_date,
  CASE
    WHEN is_stopped THEN if(is_started, 'stop', 'exit_before_start')
    WHEN last_received_at <= now - to_milliseconds($timeout_ms) THEN 'timeout'
    ELSE 'open'
  END AS end_reason,
  play_ms IS NOT NULL OR is_started AS is_attempt,
  is_started,
  NOT is_started AND play_ms IS NOT NULL AND end_reason <> 'open' AS is_exit_before_start,
  starting_ms,
  -- least and greatest pass over nulls.
  if(first_frame_ms IS NULL OR play_ms IS NULL, NULL, greatest(0, first_frame_ms - play_ms)) AS startup_ms,
  CASE
    WHEN startup_ms IS NULL THEN NULL
    WHEN startup_ms < 1 THEN 0
    ELSE least($startup_buckets - 1, floor(4 * log2(startup_ms) + 1e-9))
  END::INT AS startup_bucket,
  playing_ms + stall_ms AS watched_ms,
  playing_ms, playing_ms AS media_ms, stall_count, stall_ms, pause_count, paused_ms, bitrate_switch_count,
  bits_played, bitrate_media_ms,
  CASE WHEN bitrate_media_ms > 0 THEN round_even(bits_played / bitrate_media_ms, 0)::BIGINT END AS average_bitrate_kbps,
  if(is_started, furthest_ms, NULL) AS max_position_ms,
  coalesce(copies.duplicate_event_count, 0) AS duplicate_event_count,
  $constants
FROM folded
JOIN told USING (group_id)
CROSS JOIN (SELECT max(received_at) AS now FROM bronze)
LEFT JOIN (SELECT group_id, count(*) AS duplicate_event_count FROM later GROUP BY group_id) AS copies USING (group_id);

COPY sessions TO '$out/sessions' (FORMAT parquet, PARTITION_BY (start_date), WRITE_PARTITION_COLUMNS);

-- What each session adds to each minute: its events, and the time between them, split where a minute ends.
CREATE TEMP TABLE minutes AS
SELECT
  group_id, minute, $minute_sums,
  max(startup_bucket) AS startup_bucket
FROM (
  SELECT
    group_id, at_ms // $minute_ms AS minute,
    1 AS events,
    (event_type = 'play')::INT AS plays,
    (event_type = 'first_frame')::INT AS starts,
    (event_type = 'first_frame')::INT AS first_frames,
    (event_type = 'stall_start')::INT AS stalls,
    (event_type = 'quality_change' AND kbps <> kbps_before)::INT AS bitrate_switches,
    CASE WHEN event_type = 'first_frame' THEN sessions.startup_ms ELSE 0 END AS startup_ms,
    CASE WHEN event_type = 'first_frame' THEN sessions.startup_bucket END AS startup_bucket,
    0 AS stall_ms, 0 AS playing_ms, 0 AS watched_ms, 0 AS media_ms, 0 AS bits_played, 0 AS bitrate_media_ms
  FROM steps JOIN sessions USING (group_id)
  UNION ALL
  SELECT
    group_id, minute, 0, 0, 0, 0, 0, 0, 0, NULL,
    if(phase = 'stalled', length_ms, 0), if(phase = 'playing', length_ms, 0), length_ms,
    if(phase = 'playing', length_ms, 0), if(phase = 'playing', length_ms * coalesce(kbps, 0), 0),
    if(phase = 'playing' AND kbps IS NOT NULL, length_ms, 0)
  FROM (
    SELECT
      group_id, phase, kbps, minute,
      least(until_ms, (minute + 1) * $minute_ms) - greatest(at_ms, minute * $minute_ms) AS length_ms
    FROM (
      SELECT *, unnest(range(at_ms // $minute_ms, (until_ms - 1) // $minute_ms + 1)) AS minute
      FROM steps WHERE phase IN ('playing', 'stalled') AND until_ms > at_ms
    )
  )
)
GROUP BY group_id, minute;

CREATE TEMP VIEW told_minutes AS
SELECT
  m.* REPLACE (make_timestamptz(m.minute * $minute_ms * 1000) AS minute),
  s.start_date, s.content_id, s.country, s.device_type, s.cdn, s.app_version, s.is_complete_play,
  m.minute = min(m.minute) OVER (PARTITION BY group_id) AS is_first
FROM minutes AS m JOIN (SELECT *, $session_metrics FROM sessions) AS s USING (group_id);

COPY minutes TO '$out/minutes.parquet';

COPY (
  SELECT
    minute::DATE AS play_date, minute,
    CASE
      WHEN grouping(content_id) = 0 THEN 'title' WHEN grouping(device_type) = 0 THEN 'country_device'
      WHEN grouping(cdn) = 0 THEN 'cdn_app_country' ELSE 'total'
    END AS rollup,
    content_id, country, device_type, cdn, app_version, $sums,
    $startup_histogram
  FROM told_minutes
  GROUP BY GROUPING SETS
    ((minute), (minute, content_id), (minute, country, device_type), (minute, cdn, app_version, country))
) TO '$out/quality_minute.parquet';

COPY (
  SELECT
    date_trunc('hour', minute)::DATE AS play_date, date_trunc('hour', minute) AS hour,
    country, device_type, cdn, app_version, $sums,
    $startup_histogram
  FROM told_minutes
  GROUP BY ALL
) TO '$out/quality_hourly.parquet';

COPY (
  SELECT
    start_date AS play_date, content_id,
    count(*) FILTER (is_first) AS sessions,
    count(*) FILTER (is_first AND is_complete_play) AS completed_sessions,
    0::BIGINT AS seeks, 0::BIGINT AS ad_ms, $sums,
    $startup_histogram
  FROM told_minutes
  GROUP BY start_date, content_id
) TO '$out/title_daily.parquet';

COPY (
  SELECT
    start_date AS play_date, country, device_type,
    count(*) FILTER (is_attempt) AS plays,
    sum(watched_ms)::BIGINT AS watched_ms,
    approx_count_distinct(coalesce(user_id, session_id)) AS viewers
  FROM sessions
  GROUP BY ALL
) TO '$out/audience_daily.parquet';

COPY (
  SELECT
    bucketed_by, if(bucketed_by = 'start', start_date, ended_at::DATE) AS play_date,
    country, device_type, cdn, app_version, is_live, $view_parts,
    $startup_histogram
  FROM (SELECT *, $session_metrics FROM sessions), (VALUES ('start'), ('end')) AS buckets(bucketed_by)
  WHERE bucketed_by = 'start' OR end_reason <> 'open'
  GROUP BY ALL
) TO '$out/views_daily.parquet';
