-- The catalogue as it is: one row a title, its newest state; those that have left it stay, marked.
-- owner: content analytics
-- grain: content_id
-- fail: unique(content_id)
-- fail: not_null(content_id, is_available, changed_at)
-- fail: never(is_available AND title IS NULL)
SELECT
  content_id,  -- title, as in sessions and gold.title_daily
  state.title,  -- its name
  state.kind,  -- film, series, season, episode, channel, event, trailer or game
  state.parent_id,  -- title that it belongs to: an episode's season or series
  state.season_number,  -- number of the season, from 1
  state.episode_number,  -- number of the episode within its season, from 1
  state.duration_ms,  -- length, ms; null when live
  state.genres,  -- genres, the main one first
  state.original_language,  -- BCP 47 tag
  state.release_year,  -- year of first release
  state.maturity_rating,  -- age rating as shown to viewers
  state.artwork_id,  -- artwork that is shown unless a test says otherwise
  state.available_from,  -- when it may be watched from
  state.available_until,  -- when it may no longer be watched
  newest = 'title_upsert' AS is_available,  -- it has not been retracted since
  changed_at  -- newest event of the title
FROM (
  SELECT
    content_id,
    max_by(
      struct(
        title, kind, parent_id, season_number, episode_number, duration_ms, genres, original_language, release_year,
        maturity_rating, artwork_id, available_from, available_until
      ),
      struct(occurred_at, received_at, partition, offset)
    ) FILTER (WHERE event_type = 'title_upsert') AS state,
    max_by(event_type, struct(occurred_at, received_at, partition, offset)) AS newest,
    max(occurred_at) AS changed_at
  FROM silver.title_events
  GROUP BY content_id
)
