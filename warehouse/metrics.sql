-- Every ratio, quantile and score, once. Made from schemas/metrics by `make contracts`; change it there.
--
-- A macro over additive parts adds up the rows of a group and only then divides, so it is right at any grain:
--
--     SELECT country, stalled_share(stall_ms, watched_ms), startup_quantile_ms(startup_histogram, 0.95)
--     FROM metrics.quality_minute WHERE rollup = 'country_device' GROUP BY country;
--
-- One of a session takes columns of silver.sessions; its settings have defaults: is_good_stream(..., min_kbps := 2500).
-- Shares and rates lie in 0..1. A macro is null where its denominator is zero: unknown is not zero.
-- Definitions with sources and worked examples: docs/metrics.md. The same macros stand in every published file.

-- Startup histograms, added bucket by bucket. Unit: startups a bucket, BIGINT[80]. Bucket i counts startups in
-- [2^(i/4), 2^((i+1)/4)) ms, from i = 0 on; a missing histogram adds nothing. Written out because DuckDB adds columns
-- some 20 times faster than it folds a list of lists.
CREATE OR REPLACE MACRO startup_histogram_sum(h) AS
  [
  sum(h[1]), sum(h[2]), sum(h[3]), sum(h[4]), sum(h[5]), sum(h[6]), sum(h[7]), sum(h[8]),
  sum(h[9]), sum(h[10]), sum(h[11]), sum(h[12]), sum(h[13]), sum(h[14]), sum(h[15]), sum(h[16]),
  sum(h[17]), sum(h[18]), sum(h[19]), sum(h[20]), sum(h[21]), sum(h[22]), sum(h[23]), sum(h[24]),
  sum(h[25]), sum(h[26]), sum(h[27]), sum(h[28]), sum(h[29]), sum(h[30]), sum(h[31]), sum(h[32]),
  sum(h[33]), sum(h[34]), sum(h[35]), sum(h[36]), sum(h[37]), sum(h[38]), sum(h[39]), sum(h[40]),
  sum(h[41]), sum(h[42]), sum(h[43]), sum(h[44]), sum(h[45]), sum(h[46]), sum(h[47]), sum(h[48]),
  sum(h[49]), sum(h[50]), sum(h[51]), sum(h[52]), sum(h[53]), sum(h[54]), sum(h[55]), sum(h[56]),
  sum(h[57]), sum(h[58]), sum(h[59]), sum(h[60]), sum(h[61]), sum(h[62]), sum(h[63]), sum(h[64]),
  sum(h[65]), sum(h[66]), sum(h[67]), sum(h[68]), sum(h[69]), sum(h[70]), sum(h[71]), sum(h[72]),
  sum(h[73]), sum(h[74]), sum(h[75]), sum(h[76]), sum(h[77]), sum(h[78]), sum(h[79]), sum(h[80])
]::BIGINT[];

-- Quantile of one histogram (not of a group of them): the value below which a share q of the counts lies. Unit: ms. The
-- bucket that holds the rank q * n is found by running sums; inside it counts are taken to lie evenly on the
-- logarithmic axis, so with b counts in bucket i and a before it the answer is 2^((i + (q * n - a) / b) / 4). It lies
-- in the right bucket, thus within a factor of 2^(1/4) (19 %) of the true value.
CREATE OR REPLACE MACRO startup_histogram_quantile_ms(h, q) AS
  CASE WHEN list_sum(h) > 0 THEN
    list_transform(
      [list_position(
        list_transform(range(1, len(h) + 1), lambda i: h[i] > 0 AND list_sum(h[1:i]) >= q * list_sum(h)), true)],
      lambda i: pow(2, (i - 1 + (q * list_sum(h) - coalesce(list_sum(h[1:i - 1]), 0)) / h[i]) / 4.0)
    )[1]::DOUBLE
  END;

-- HyperLogLog registers of a group, merged by their maxima. Register r holds the highest rank (leading zeros + 1) of
-- the hashes with pmod(hash, 1024) = r.
CREATE OR REPLACE MACRO viewer_registers_merge(viewer_registers) AS
  list_reduce(list(viewer_registers), lambda a, b: list_transform(list_zip(a, b), lambda pair: greatest(pair[1],
  pair[2])));

-- Distinct count of one merged register array. Unit: viewers. Standard error 1.04 / sqrt(1024) = 3.3 %. alpha * m^2 /
-- sum(2^-register), alpha = 0.7213 / (1 + 1.079 / m); while registers are still empty and the estimate is below 2.5 m,
-- linear counting m * ln(m / empty) instead. Source: Flajolet 2007.
CREATE OR REPLACE MACRO viewer_registers_count(registers) AS
  list_transform(
    [{
      'm': len(registers)::DOUBLE,
      'empty': len(list_filter(registers, lambda r: r = 0)),
      'sum': list_sum(list_transform(registers, lambda r: pow(2.0, -r)))
    }],
    lambda s: CASE
      WHEN s.empty > 0 AND 0.7213 / (1 + 1.079 / s.m) * s.m * s.m / s.sum <= 2.5 * s.m THEN s.m * ln(s.m / s.empty)
      ELSE 0.7213 / (1 + 1.079 / s.m) * s.m * s.m / s.sum
    END
  )[1];

-- Audience retention out of gold.title_retention: the share of plays that got as far as a hundredth of the title's
-- length. Unit: share, 0..1. Plays whose furthest position lies there or beyond / all plays that tell positions; 1 at
-- 0, and it never rises. Sums up over days and titles.
CREATE OR REPLACE MACRO title_retention_at(position_percent, furthest_plays, at_percent) AS
  CAST(sum(CASE WHEN position_percent >= at_percent THEN furthest_plays ELSE 0 END) AS DOUBLE) /
  nullif(sum(furthest_plays), 0);

-- Sessions. How many viewing sessions there were. Unit: sessions. Number of sessions. A session is all that happened
-- under one session id. Where clients send none, it is the events of one user, device and title, cut where 30 minutes
-- (setting SESSION_TIMEOUT_S) pass without any. It ends by `stop`, by a fatal error, or when the time-out has passed
-- since its last event was received. Source: CTA-2066, Mux.
CREATE OR REPLACE MACRO session_count(sessions) AS
  CAST(sum(sessions) AS BIGINT);

-- Attempts. How often viewers asked for playback. Unit: attempts. Number of sessions with a `play` event or, where that
-- was lost, with what can only follow one: content that plays, a fatal error. The part is called `plays`, after the
-- event. Source: CTA-2066, Mux, Conviva.
CREATE OR REPLACE MACRO attempt_count(plays) AS
  CAST(sum(plays) AS BIGINT);

-- Attempts a second. How fast viewers ask for playback. Unit: attempts/s. Attempts / length of the stretch in seconds.
-- Of one row of live.quality_second: seconds = 1; of one of quality_minute: seconds = 60.
CREATE OR REPLACE MACRO attempts_per_second(plays, seconds) AS
  sum(plays) / CAST(seconds AS DOUBLE);

-- Plays. How many sessions got to see content. Unit: plays. Number of sessions in which content began to play: told by
-- `first_frame` or, where the client does not tell it, by the first sign of playback (`heartbeat`, `resume`, a stall;
-- without session ids `play`). Source: CTA-2066, Conviva.
CREATE OR REPLACE MACRO play_count(starts) AS
  CAST(sum(starts) AS BIGINT);

-- Share of dropped views. How often a play just fell silent: a crash, a lost network, a tab that was closed without a
-- word. Unit: share, 0..1. Plays that ended by time-out / plays that ended. Source: Mux.
CREATE OR REPLACE MACRO dropped_view_rate(dropped_views, ended_plays) AS
  CAST(sum(dropped_views) AS DOUBLE) / nullif(sum(ended_plays), 0);

-- Watched time. How long viewers watched content or waited within it. Unit: ms. Playing time + time in stalls. Source:
-- CTA-2066, Mux.
CREATE OR REPLACE MACRO watched_time_ms(watched_ms) AS
  CAST(sum(watched_ms) AS BIGINT);

-- Playing time. How long content moved on screen. Unit: ms. Wall clock between first frame and end in which content
-- plays. Source: CTA-2066, Mux.
CREATE OR REPLACE MACRO playing_time_ms(playing_ms) AS
  CAST(sum(playing_ms) AS BIGINT);

-- Media time. How much content was played, in its own time. Unit: ms of media. Playing time × playback rate, piece by
-- piece between the changes of rate. Source: CTA-2066, CTA-5004.
CREATE OR REPLACE MACRO media_time_ms(media_ms) AS
  CAST(sum(media_ms) AS BIGINT);

-- Measured startups. How many startups the startup times are made of. Unit: startups. Number of sessions with both a
-- `play` and a `first_frame`: the sum of the startup histogram. Source: CTA-2066.
CREATE OR REPLACE MACRO startups(startup_histogram) AS
  CAST(sum(coalesce(list_sum(startup_histogram), 0)) AS BIGINT);

-- Startup time, average. How long viewers wait from asking to seeing. Unit: ms. Σ startup time / startups. The startup
-- time of a session is first frame − play − pre-roll ads. Source: CTA-2066, CTA-5004, Mux.
CREATE OR REPLACE MACRO startup_average_ms(startup_ms, startup_histogram) AS
  CAST(sum(startup_ms) AS DOUBLE) / nullif(startups(startup_histogram), 0);

-- Startup time, quantile. The startup time that a share q of the startups stays under; 0.95 gives the p95. Unit: ms.
-- The bucket of the histogram that holds rank q × n is found by running sums; within it counts are taken to lie evenly
-- on the logarithmic axis. Bucket i holds [2^(i/4), 2^((i+1)/4)) ms, so the answer is within 19 % of the true quantile.
-- Source: CTA-2066.
CREATE OR REPLACE MACRO startup_quantile_ms(startup_histogram, q) AS
  list_transform([startup_histogram_sum(startup_histogram)], lambda h: startup_histogram_quantile_ms(h, q))[1];

-- Start failures. How often playback breaks before the first frame. Unit: share, 0..1. Attempts that a fatal technical
-- error ended before the first frame / attempts. Source: CTA-2066, Conviva, Mux.
CREATE OR REPLACE MACRO start_failure_rate(start_failures, plays) AS
  CAST(sum(start_failures) AS DOUBLE) / nullif(sum(plays), 0);

-- Exits before video start. How often viewers give up before the first frame. Unit: share, 0..1. Attempts that ended by
-- `stop` before the first frame / attempts. Source: CTA-2066, Conviva, Mux.
CREATE OR REPLACE MACRO exit_before_start_rate(exits_before_start, plays) AS
  CAST(sum(exits_before_start) AS DOUBLE) / nullif(sum(plays), 0);

-- Business failures. How often viewers are refused on purpose: no subscription, wrong country, too many devices. Unit:
-- share, 0..1. Attempts and plays that a fatal error of category `business` ended / attempts. Source: Conviva.
CREATE OR REPLACE MACRO business_failure_rate(business_failures, plays) AS
  CAST(sum(business_failures) AS DOUBLE) / nullif(sum(plays), 0);

-- Playback failures. How often playback breaks after it began. Unit: share, 0..1. Plays that a fatal technical error
-- ended after the first frame / attempts. With start failures and exits it adds up to all attempts that went wrong.
-- Pass `starts` in place of `plays` to divide by plays. Source: CTA-2066, Conviva, Mux.
CREATE OR REPLACE MACRO playback_failure_rate(playback_failures, plays) AS
  CAST(sum(playback_failures) AS DOUBLE) / nullif(sum(plays), 0);

-- Number of stalls. How often playback was interrupted. Unit: stalls. Number of `stall_start` events while content
-- plays. Source: CTA-2066, CTA-5004, Mux.
CREATE OR REPLACE MACRO stall_count(stalls) AS
  CAST(sum(stalls) AS BIGINT);

-- Stalled time. How long playback was interrupted. Unit: ms. Wall clock between `stall_start` and what ends the stall.
-- Source: CTA-2066, Mux.
CREATE OR REPLACE MACRO stall_time_ms(stall_ms) AS
  CAST(sum(stall_ms) AS BIGINT);

-- Stalled share, of watched time. The share of watched time that was spent in stalls. Unit: share, 0..1. Stalled time /
-- watched time. Source: CTA-2066, Conviva, Mux.
CREATE OR REPLACE MACRO stalled_share(stall_ms, watched_ms) AS
  CAST(sum(stall_ms) AS DOUBLE) / nullif(sum(watched_ms), 0);

-- Stalled share, of playing time. Stalled time for each unit of playing time. Unit: ratio, may exceed 1. Stalled time /
-- playing time. It is s / (1 − s) of the stalled share s. Source: CTA-2066.
CREATE OR REPLACE MACRO stalled_per_playing(stall_ms, playing_ms) AS
  CAST(sum(stall_ms) AS DOUBLE) / nullif(sum(playing_ms), 0);

-- Rebuffer frequency. How often playback is interrupted in a minute of watching. Unit: stalls a minute. Stalls /
-- minutes of watched time. Source: CTA-2066, Mux.
CREATE OR REPLACE MACRO stalls_per_minute(stalls, watched_ms) AS
  sum(stalls) * CAST(60000 AS DOUBLE) / nullif(sum(watched_ms), 0);

-- Length of a stall, average. How long an interruption lasts. Unit: ms. Stalled time / stalls. Source: CTA-2066, Mux.
CREATE OR REPLACE MACRO stall_average_ms(stall_ms, stalls) AS
  CAST(sum(stall_ms) AS DOUBLE) / nullif(sum(stalls), 0);

-- Average bitrate. The bitrate that viewers saw, weighted by how much of the content they saw at it. Unit: kbit/s. Σ
-- (bitrate × media time) / Σ media time, over media whose bitrate is known. Bits per ms are kbit/s. Source: CTA-2066,
-- CTA-5004, Conviva.
CREATE OR REPLACE MACRO average_bitrate_kbps(bits_played, bitrate_media_ms) AS
  CAST(sum(bits_played) AS DOUBLE) / nullif(sum(bitrate_media_ms), 0);

-- Bitrate switches. How often the rendition changed while playing. Unit: switches. Number of `quality_change` events
-- that tell another bitrate than the one before. Source: CTA-2066, Conviva.
CREATE OR REPLACE MACRO bitrate_switch_count(bitrate_switches) AS
  CAST(sum(bitrate_switches) AS BIGINT);

-- Bitrate switches a minute. How restless the picture is. Unit: switches a minute. Bitrate switches / minutes of
-- playing time. Source: CTA-2066.
CREATE OR REPLACE MACRO bitrate_switches_per_minute(bitrate_switches, playing_ms) AS
  sum(bitrate_switches) * CAST(60000 AS DOUBLE) / nullif(sum(playing_ms), 0);

-- Dropped frames. How many frames the device did not show in time. Unit: frames. Increase of the player's running count
-- `droppedFrames` within a session. Source: CTA-5004.
CREATE OR REPLACE MACRO dropped_frame_count(dropped_frames) AS
  CAST(sum(dropped_frames) AS BIGINT);

-- Dropped frames a minute. How much the device falls behind. Unit: frames a minute. Dropped frames / minutes of playing
-- time. Source: CTA-5004.
CREATE OR REPLACE MACRO dropped_frames_per_minute(dropped_frames, playing_ms) AS
  sum(dropped_frames) * CAST(60000 AS DOUBLE) / nullif(sum(playing_ms), 0);

-- Live latency. How far behind the live edge viewers are. Unit: ms. Σ reported distances to the live edge / number of
-- reports. Source: CTA-5004.
CREATE OR REPLACE MACRO live_latency_average_ms(live_latency_sum_ms, live_latency_samples) AS
  CAST(sum(live_latency_sum_ms) AS DOUBLE) / nullif(sum(live_latency_samples), 0);

-- Concurrent viewers. How many sessions are watching now. Unit: viewers (sessions). Σ over the stream's partitions
-- (live.now) of the sessions that play or are stalled, and of which an event was received within the last minute.
-- Source: Mux, Conviva.
CREATE OR REPLACE MACRO concurrent_viewers(concurrent) AS
  CAST(sum(concurrent) AS BIGINT);

-- Average viewers. How many watched at one time, on average over a stretch of minutes. Unit: viewers (sessions).
-- Watched time / length of the stretch. Of one row of quality_minute: minutes = 1.
CREATE OR REPLACE MACRO average_viewers(watched_ms, minutes) AS
  sum(watched_ms) / (CAST(60000 AS DOUBLE) * minutes);

-- Unique viewers. How many different viewers there were, over any rows: days, countries, devices. Unit: viewers,
-- estimate with a standard error of 3.3 %. HyperLogLog over 1024 registers of the viewers' hashes, which merge by their
-- maxima. Source: Flajolet 2007, Mux.
CREATE OR REPLACE MACRO unique_viewers(viewer_registers) AS
  CAST(round(viewer_registers_count(viewer_registers_merge(viewer_registers))) AS BIGINT);

-- Unique viewers, exact. The same, counted one by one over the sessions themselves. Unit: viewers. Number of distinct
-- user ids; a session without one counts as a viewer. Source: Mux.
CREATE OR REPLACE MACRO unique_viewers_exact(user_id, session_id) AS
  count(DISTINCT coalesce(user_id, session_id));

-- Valid play. Whether a play lasted long enough to count as somebody watching. Unit: true or false. Playing time ≥
-- min_playing_ms, or 90 % of a shorter title was played.
CREATE OR REPLACE MACRO is_valid_play(playing_ms, media_ms, duration_ms, min_playing_ms := 30000) AS
  playing_ms > 0 AND (playing_ms >= min_playing_ms OR coalesce(media_ms >= 0.9 * duration_ms, false));

-- Complete play. Whether a play got to the end of the title. Unit: true or false. Furthest position played ≥
-- completed_share × length; null if nothing played or the length is unknown. Source: Conviva.
CREATE OR REPLACE MACRO is_complete_play(playing_ms, max_position_ms, duration_ms, completed_share := 0.9) AS
  CASE WHEN playing_ms > 0 AND duration_ms > 0 THEN coalesce(max_position_ms, 0) >= completed_share * duration_ms
  END;

-- Share of valid plays. The share of plays that are valid. Unit: share, 0..1. Valid plays / plays.
CREATE OR REPLACE MACRO valid_play_rate(valid_plays, starts) AS
  CAST(sum(valid_plays) AS DOUBLE) / nullif(sum(starts), 0);

-- Share of complete plays. The share of plays that got to the end. Unit: share, 0..1. Complete plays / plays of titles
-- whose length is known. Source: Conviva.
CREATE OR REPLACE MACRO complete_play_rate(complete_plays, completable_plays) AS
  CAST(sum(complete_plays) AS DOUBLE) / nullif(sum(completable_plays), 0);

-- Retention by position. The share of plays that got as far as a position; over all positions it shows where viewers
-- leave. Unit: share, 0..1. Plays whose furthest position played ≥ at_ms / plays that told any position.
CREATE OR REPLACE MACRO retention_at(max_position_ms, at_ms) AS
  CAST(count(CASE WHEN max_position_ms >= at_ms THEN 1 END) AS DOUBLE) / nullif(count(max_position_ms), 0);

-- Failed ads. How often an ad that should play fails, as the player tells it. Unit: share, 0..1. `ad_error` events /
-- (ads begun + failed). An ad that fails after it began counts in both. Source: Conviva.
CREATE OR REPLACE MACRO ad_error_rate(ad_errors, ad_starts) AS
  CAST(sum(ad_errors) AS DOUBLE) / nullif(sum(ad_starts) + sum(ad_errors), 0);

-- Ad impressions. How often an ad was on screen: what is billed. Unit: impressions. Number of ads shown (request, ad,
-- place in its pod) with an `impression`. Source: VAST, Mux.
CREATE OR REPLACE MACRO ad_impression_count(ad_impressions) AS
  CAST(sum(ad_impressions) AS BIGINT);

-- Ad quartiles. The share of impressions that got to a quarter, half, three quarters or the end of the ad. Unit: share,
-- 0..1. Ads that reached it / impressions. Pass ad_first_quartiles, ad_midpoints, ad_third_quartiles or ad_completes in
-- place of ad_midpoints. Source: VAST.
CREATE OR REPLACE MACRO ad_reach_rate(ad_midpoints, ad_impressions) AS
  CAST(sum(ad_midpoints) AS DOUBLE) / nullif(sum(ad_impressions), 0);

-- Ad completion. The share of impressions that played to their end. Unit: share, 0..1. Complete ads / impressions.
-- Source: VAST, Conviva.
CREATE OR REPLACE MACRO ad_completion_rate(ad_completes, ad_impressions) AS
  CAST(sum(ad_completes) AS DOUBLE) / nullif(sum(ad_impressions), 0);

-- Ad skips. The share of impressions that viewers skipped. Unit: share, 0..1. Skipped ads / impressions. Source: VAST.
CREATE OR REPLACE MACRO ad_skip_rate(ad_skips, ad_impressions) AS
  CAST(sum(ad_skips) AS DOUBLE) / nullif(sum(ad_impressions), 0);

-- Ad clicks. The share of impressions that viewers followed. Unit: share, 0..1. Ads clicked / impressions. Source:
-- VAST.
CREATE OR REPLACE MACRO ad_click_rate(ad_clicks, ad_impressions) AS
  CAST(sum(ad_clicks) AS DOUBLE) / nullif(sum(ad_impressions), 0);

-- Ad fill. The share of calls of the ad server that brought an ad. Unit: share, 0..1. Requests whose answer had at
-- least one ad / requests. Source: VAST.
CREATE OR REPLACE MACRO ad_fill_rate(ad_requests_filled, ad_requests) AS
  CAST(sum(ad_requests_filled) AS DOUBLE) / nullif(sum(ad_requests), 0);

-- Startup score. How good a startup was. Unit: points, 0..100. 100 up to free_ms; beyond that it halves with every
-- half_ms more. Null without a startup time. Source: Krishnan 2012, Mux.
CREATE OR REPLACE MACRO startup_score(startup_ms, free_ms := 500, half_ms := 4000) AS
  CASE WHEN startup_ms IS NOT NULL THEN CAST(round(round(100 * power(2, -greatest(startup_ms - free_ms, 0) /
  half_ms), 6)) AS BIGINT) END;

-- Smoothness score. How little a session was interrupted. Unit: points, 0..100. 100 × 2^−(stalled share / share_half +
-- stalls a minute / per_minute_half), both of watched time; less than a minute watched counts as one, so that one stall
-- does not ruin a short session. Null if nothing was watched. Source: Mux.
CREATE OR REPLACE MACRO smoothness_score(stall_count, stall_ms, watched_ms, share_half := 0.1, per_minute_half := 2) AS
  CASE WHEN watched_ms > 0 THEN CAST(round(round(100 * power(2, -(stall_ms / watched_ms / share_half + stall_count *
  60000 / greatest(watched_ms, 60000) / per_minute_half)), 6)) AS BIGINT) END;

-- Quality score. How good the picture was, as far as the bitrate tells. Unit: points, 0..100. 100 × ln(average bitrate
-- / floor_kbps) / ln(full_kbps / floor_kbps), within 0..100: each doubling is worth the same. Null if no bitrate was
-- told. Source: Spiteri 2016, Mux.
CREATE OR REPLACE MACRO quality_score(bits_played, bitrate_media_ms, floor_kbps := 200, full_kbps := 6000) AS
  CASE WHEN bitrate_media_ms > 0 THEN CAST(round(round(100 * least(1, ln(greatest(bits_played / bitrate_media_ms,
  floor_kbps) / floor_kbps) / ln(full_kbps / floor_kbps)), 6)) AS BIGINT) END;

-- Success score. Whether playback worked at all. Unit: points, 0..100. 0 for a start failure; failed_points for a
-- playback failure; for an exit before start, the startup score of the time that was waited, null below min_wait_ms;
-- 100 for any other play; else null. Source: Mux.
CREATE OR REPLACE MACRO success_score(is_start_failure, is_playback_failure, is_exit_before_start, starting_ms, is_started, failed_points := 20, min_wait_ms := 1000, free_ms := 500, half_ms := 4000) AS
  CASE WHEN is_start_failure THEN 0 WHEN is_playback_failure THEN failed_points WHEN is_exit_before_start THEN CASE
  WHEN starting_ms >= min_wait_ms THEN CAST(round(round(100 * power(2, -greatest(starting_ms - free_ms, 0) /
  half_ms), 6)) AS BIGINT) END WHEN is_started THEN 100 END;

-- Experience score. One number for how good a session was. Unit: points, 0..100. Success score × the weighted geometric
-- mean of startup, smoothness and quality score (each / 100, at least 0.01): exp(Σ weight × ln(score / 100) / Σ
-- weight), over the scores that are known. Null without a success score. Source: Mux.
CREATE OR REPLACE MACRO experience_score(success_score, startup_score, smoothness_score, quality_score, startup_weight := 1, smoothness_weight := 2, quality_weight := 1) AS
  CASE WHEN success_score IS NOT NULL THEN CAST(round(round(success_score * exp(coalesce((CASE WHEN startup_score IS
  NULL THEN 0 ELSE startup_weight * ln(greatest(startup_score, 1) / 100) END + CASE WHEN smoothness_score IS NULL
  THEN 0 ELSE smoothness_weight * ln(greatest(smoothness_score, 1) / 100) END + CASE WHEN quality_score IS NULL THEN
  0 ELSE quality_weight * ln(greatest(quality_score, 1) / 100) END) / nullif(CASE WHEN startup_score IS NULL THEN 0
  ELSE startup_weight END + CASE WHEN smoothness_score IS NULL THEN 0 ELSE smoothness_weight END + CASE WHEN
  quality_score IS NULL THEN 0 ELSE quality_weight END, 0), 0)), 6)) AS BIGINT) END;

-- Score, average. The mean of a score over the sessions that have it. Unit: points, 0..100. Σ score / number of scores.
-- Pass `<score>_sum` and `<score>_count` of any of the five.
CREATE OR REPLACE MACRO score_average(experience_score_sum, experience_score_count) AS
  CAST(sum(experience_score_sum) AS DOUBLE) / nullif(sum(experience_score_count), 0);

-- Good stream. Whether a session met every threshold of the service. Unit: true or false. False for a start or playback
-- failure, and for an exit before start after at least min_wait_ms. For other plays: startup ≤ max_startup_ms and
-- stalled share ≤ max_stalled_share and average bitrate ≥ min_kbps, each as far as it is known. Null, not judged:
-- refusals that are meant, quick exits, sessions still open. Source: Conviva.
CREATE OR REPLACE MACRO is_good_stream(is_business_failure, end_reason, is_start_failure, is_playback_failure, is_exit_before_start, starting_ms, is_started, startup_ms, stall_ms, watched_ms, bits_played, bitrate_media_ms, max_startup_ms := 5000, max_stalled_share := 0.01, min_kbps := 1000, min_wait_ms := 10000) AS
  CASE WHEN is_business_failure OR end_reason = 'open' THEN NULL WHEN is_start_failure OR is_playback_failure THEN
  false WHEN is_exit_before_start THEN CASE WHEN starting_ms >= min_wait_ms THEN false END WHEN is_started THEN
  coalesce(startup_ms, 0) <= max_startup_ms AND stall_ms <= max_stalled_share * watched_ms AND bits_played >=
  min_kbps * coalesce(bitrate_media_ms, 0) END;

-- Share of good streams. The share of sessions that met every threshold. Unit: share, 0..1. Good streams / judged
-- streams. Source: Conviva.
CREATE OR REPLACE MACRO good_stream_share(good_streams, judged_streams) AS
  CAST(sum(good_streams) AS DOUBLE) / nullif(sum(judged_streams), 0);

-- Lost events. The share of playback events that never arrived: by device and app version it shows whose reports to
-- trust less. Unit: share, 0..1. Numbers missing between the first and the last `seq` of a session / numbers between
-- them. Source: CTA-5004.
CREATE OR REPLACE MACRO event_loss_rate(events_missing, events_expected) AS
  CAST(sum(events_missing) AS DOUBLE) / nullif(sum(events_expected), 0);
