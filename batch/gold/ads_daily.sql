-- Ads by day, each showing counted once however often a client tells it. Only what ads.events tells.
-- owner: advertising
-- grain: play_date, content_id, ad_system, campaign_id, break_position, country, device_type
-- partition: play_date
-- fail: unique(play_date, content_id, ad_system, campaign_id, break_position, country, device_type)
-- fail: not_null(play_date)
-- fail: never(ad_requests_filled > ad_requests)
-- fail: never(least($ad_part_names) < 0)
-- warn: never(ad_completes > ad_impressions)
SELECT
  event_date AS play_date,  -- day it happened, UTC
  content_id,  -- title that the break is in
  ad_system,  -- ad server
  campaign_id,  -- campaign; null in rows of requests
  break_position,  -- pre_roll, mid_roll or post_roll
  country,  -- ISO 3166-1 alpha-2 code
  device_type,  -- smart_tv, mobile or web
  $ad_parts
FROM silver.ad_events
GROUP BY ALL
