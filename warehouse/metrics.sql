-- Every ratio and every quantile, once. Macros over the additive parts that schemas/quality.py defines.
--
-- A macro adds up the parts of the rows of a group and only then divides, so it is right at any grain:
--
--     SELECT country, stalled_share(stall_ms, watched_ms), startup_quantile_ms(startup_histogram, 0.95)
--     FROM metrics.quality_minute WHERE rollup = 'country_device' GROUP BY country;
--
-- Shares and rates lie in 0..1. A macro is null where its denominator is zero: unknown is not zero.
-- Terms follow CTA-2066 (Streaming Quality of Experience Events, Properties and Metrics); where vendors divide by
-- different things, both forms are here under different names. The same macros stand in every published file.

-- Share of watched time that was spent in stalls. Unit: 0..1.
-- sum(stall_ms) / sum(watched_ms), watched = playing + stalled.
-- Source: CTA-2066 rebuffering ratio, "rebuffer percentage" of products that divide by watch time.
CREATE OR REPLACE MACRO stalled_share(stall_ms, watched_ms) AS
  sum(stall_ms)::DOUBLE / nullif(sum(watched_ms), 0);

-- Stalled time per playing time. Unit: ratio, may exceed 1.
-- sum(stall_ms) / sum(playing_ms). Equals s / (1 - s) of stalled_share s.
-- Source: the form of products that divide by content playing time.
CREATE OR REPLACE MACRO stalled_per_playing(stall_ms, playing_ms) AS
  sum(stall_ms)::DOUBLE / nullif(sum(playing_ms), 0);

-- How often playback is interrupted. Unit: stalls per minute of watched time.
-- sum(stalls) / (sum(watched_ms) / 60,000).
-- Source: CTA-2066 rebuffering frequency.
CREATE OR REPLACE MACRO stalls_per_minute(stalls, watched_ms) AS
  sum(stalls) * 60000.0::DOUBLE / nullif(sum(watched_ms), 0);

-- Average length of a stall. Unit: ms.
-- sum(stall_ms) / sum(stalls). A stall that runs over a minute's end counts its start in one minute and its time in
-- both, so ask this over many minutes.
CREATE OR REPLACE MACRO stall_average_ms(stall_ms, stalls) AS
  sum(stall_ms)::DOUBLE / nullif(sum(stalls), 0);

-- Average number of viewers at one time, over a stretch of `minutes` minutes. Unit: viewers (playing or stalled).
-- sum(watched_ms) / (minutes * 60,000). Within one row of quality_minute: minutes = 1.
CREATE OR REPLACE MACRO average_viewers(watched_ms, minutes) AS
  sum(watched_ms) / (60000.0::DOUBLE * minutes);

-- Media bitrate as the viewer saw it, weighted by media time. Unit: kbit/s (bits per ms).
-- sum(bits_played) / sum(media_ms).
-- Source: CTA-2066 average playback bitrate.
CREATE OR REPLACE MACRO average_bitrate_kbps(bits_played, media_ms) AS
  sum(bits_played)::DOUBLE / nullif(sum(media_ms), 0);

-- Share of attempts that a fatal error ended before the first frame. Unit: 0..1.
-- sum(start_failures) / sum(plays). Source: CTA-2066 video start failure.
CREATE OR REPLACE MACRO start_failure_rate(start_failures, plays) AS
  sum(start_failures)::DOUBLE / nullif(sum(plays), 0);

-- Share of attempts that the viewer gave up before the first frame. Unit: 0..1.
-- sum(exits_before_start) / sum(plays). Source: CTA-2066 exit before video start.
CREATE OR REPLACE MACRO exit_before_start_rate(exits_before_start, plays) AS
  sum(exits_before_start)::DOUBLE / nullif(sum(plays), 0);

-- Share of attempts that a fatal error ended after the first frame. Unit: 0..1.
-- sum(playback_failures) / sum(plays): with the two rates above it adds up to all plays that went wrong.
-- Products that divide by started plays: pass first_frames for plays. Source: CTA-2066 video playback failure.
CREATE OR REPLACE MACRO playback_failure_rate(playback_failures, plays) AS
  sum(playback_failures)::DOUBLE / nullif(sum(plays), 0);

-- Startup histograms, added bucket by bucket. Unit: startups a bucket, BIGINT[80].
-- Bucket i counts startups in [2^(i/4), 2^((i+1)/4)) ms, i = 0..79; a missing histogram adds nothing.
-- Written out because DuckDB adds 80 columns some 20 times faster than it folds a list of lists.
CREATE OR REPLACE MACRO startup_histogram_sum(h) AS [
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

-- Number of measured startups. Unit: startups. Those of sessions whose play was seen, so at most first_frames.
CREATE OR REPLACE MACRO startups(startup_histogram) AS
  sum(coalesce(list_sum(startup_histogram), 0))::BIGINT;

-- Average startup time. Unit: ms. sum(startup_ms) / startups. Source: CTA-2066 video start time, averaged.
CREATE OR REPLACE MACRO startup_average_ms(startup_ms, startup_histogram) AS
  sum(startup_ms)::DOUBLE / nullif(startups(startup_histogram), 0);

-- Quantile of one histogram (not of a group of them): the value below which a share q of the counts lies. Unit: ms.
-- The bucket that holds the rank q * n is found by running sums; inside it counts are taken to lie evenly on the
-- logarithmic axis, so with b counts in bucket i and a before it the answer is 2^((i + (q * n - a) / b) / 4).
-- It lies in the right bucket, thus within a factor of 2^(1/4) (19 %) of the true value.
CREATE OR REPLACE MACRO startup_histogram_quantile_ms(h, q) AS
  CASE WHEN list_sum(h) > 0 THEN
    list_transform(
      [list_position(
        list_transform(range(1, len(h) + 1), lambda i: h[i] > 0 AND list_sum(h[1:i]) >= q * list_sum(h)), true)],
      lambda i: pow(2, (i - 1 + (q * list_sum(h) - coalesce(list_sum(h[1:i - 1]), 0)) / h[i]) / 4.0)
    )[1]::DOUBLE
  END;

-- Quantile of startup time over a group of rows. Unit: ms. startup_quantile_ms(startup_histogram, 0.95) is the p95.
CREATE OR REPLACE MACRO startup_quantile_ms(startup_histogram, q) AS
  list_transform([startup_histogram_sum(startup_histogram)], lambda h: startup_histogram_quantile_ms(h, q))[1];

-- HyperLogLog registers of a group, merged by their maxima. Register r holds the highest rank (leading zeros + 1) of
-- the hashes with pmod(hash, 1024) = r.
CREATE OR REPLACE MACRO viewer_registers_merge(viewer_registers) AS
  list_reduce(
    list(viewer_registers),
    lambda a, b: list_transform(list_zip(a, b), lambda pair: greatest(pair[1], pair[2]))
  );

-- Distinct count of one merged register array. Unit: viewers. Standard error 1.04 / sqrt(1024) = 3.3 %.
-- alpha * m^2 / sum(2^-register), alpha = 0.7213 / (1 + 1.079 / m); while registers are still empty and the estimate is
-- below 2.5 m, linear counting m * ln(m / empty) instead. Source: Flajolet et al., HyperLogLog, 2007.
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

-- Distinct viewers over a group of rows, whatever days or titles they span. Unit: viewers (estimate, see above).
CREATE OR REPLACE MACRO unique_viewers(viewer_registers) AS
  round(viewer_registers_count(viewer_registers_merge(viewer_registers)))::BIGINT;
