-- Audience per day, country and device. Viewers are kept as registers, which merge over any rows: unique_viewers() in
-- warehouse/metrics.sql estimates how many they are (standard error 3.3 %).
-- owner: audience
-- grain: play_date, country, device_type
-- partition: play_date
-- fail: unique(play_date, country, device_type)
-- fail: not_null(play_date, plays, watched_ms, viewer_registers)
-- fail: never(plays < 0 OR watched_ms < 0)
-- warn: rows(min=1)
WITH by_register AS (
  -- HyperLogLog, m = 1024: the low 10 bits of the viewer's hash choose a register, the other 54 give the rank.
  SELECT
    start_date,
    country,
    device_type,
    CAST(pmod(viewer_hash, 1024) AS INT) AS register,
    max(55 - length(bin(shiftrightunsigned(viewer_hash, 10)))) AS rank,
    count_if(is_attempt) AS plays,
    sum(watched_ms) AS watched_ms
  FROM (SELECT *, xxhash64(coalesce(user_id, session_id)) AS viewer_hash FROM silver.sessions)
  GROUP BY ALL
)
SELECT
  start_date AS play_date,  -- day the session started, UTC
  country,  -- ISO 3166-1 alpha-2 code
  device_type,  -- smart_tv, mobile or web
  sum(plays) AS plays,  -- attempts: sessions in which the viewer asked for playback
  sum(watched_ms) AS watched_ms,  -- time in which the viewer watched or waited for content, ms
  -- The list of one map gives it a name: otherwise it would be made again for each of the registers.
  transform(
    array(map_from_entries(collect_list(struct(register, rank)))),
    ranks -> transform(sequence(0, 1023), i -> CAST(coalesce(ranks[i], 0) AS TINYINT))
  )[0] AS viewer_registers  -- HyperLogLog, m = 1024: highest rank by register; a viewer is a user_id, else a session
FROM by_register
GROUP BY ALL
