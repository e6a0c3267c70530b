/** Now: what is watched this minute and how well it plays, with the last hours beside it. */

import { useMemo } from "preact/hooks";
import { Chart } from "../charts/chart";
import type { Frame } from "../charts/frame";
import { secondsChart } from "../charts/seconds";
import { startupChart } from "../charts/startup";
import { viewersChart } from "../charts/viewers";
import type { Live } from "../data/protocol";
import { HOUR } from "../data/seconds";
import { join, rows as rowsOf } from "../data/series";
import { RANGES } from "../data/ranges";
import { AHEAD, DAY, fresh, history, live, now, range, yesterday } from "../data/store";
import { Alerts } from "../parts/alerts";
import { Cohorts } from "../parts/cohorts";
import { Deliveries } from "../parts/deliveries";
import { Empty } from "../parts/empty";
import { LastHour } from "../parts/last-hour";
import { Pipeline } from "../parts/pipeline";
import { Tile } from "../parts/tile";
import { TopTitles } from "../parts/top-titles";
import { timeSeconds } from "../format";
import { palette, rem } from "../theme";

export function Now() {
  const state = fresh.value;
  const message = live.value;
  if (message === null) return <Waiting down={state.state === "down"} />;
  if (state.state === "empty" && message.minutes.minute.length === 0 && message.publish.publish_id === null) {
    return <Empty links={message.links} />;
  }
  const greyed = state.state === "down" || state.state === "stale";
  return (
    <main class={greyed ? "now greyed" : "now"} data-testid="now" aria-busy={greyed}>
      {state.state === "down" && state.since !== null && (
        <p class="banner" role="alert" data-testid="down">
          The server does not answer. These are the numbers of {timeSeconds(message.live_at ?? state.since)}; the page goes on by itself when it is back.
        </p>
      )}
      <Board message={message} />
    </main>
  );
}

function Board({ message }: { readonly message: Live }) {
  const at = message.server_at;
  const span = RANGES[range.value];
  const to = Math.floor(at / 60_000) * 60;
  const rows = useMemo(
    () => join(history.value, message.minutes, { from: to - Math.max(span, 3_600), to, liveFrom: message.live_from }),
    [history.value, message.minutes, message.live_from, to, span],
  );
  const colour = palette.value;
  const cutover = (history.value ?? message).publish.cutover_minute;
  const ahead = Math.min(AHEAD, span / 12);
  const frame: Frame = {
    rows: rows.filter((row) => row.minute >= to - span),
    before: yesterday.value === null ? [] : rowsOf(yesterday.value.minutes, "history").filter((row) => row.minute + DAY <= to + ahead),
    from: (to - span) * 1_000,
    to: (to + ahead) * 1_000,
    now: at,
    cutover: cutover === null ? null : cutover * 1_000,
    colour,
    rem: rem(),
  };
  const watching = message.tiles.find((tile) => tile.metric === "concurrent_viewers")?.value ?? null;
  const { seconds } = message;
  const bySecond = seconds !== null && span <= HOUR;
  const viewers = useMemo(
    () => (bySecond ? secondsChart(frame, seconds) : viewersChart(frame, watching)),
    [message, rows, yesterday.value, colour, span],
  );
  const startup = useMemo(() => startupChart(frame), [message, rows, yesterday.value, colour, span]);
  return (
    <>
      <Alerts alerts={message.alerts} now={now.value} />
      <div class="tiles">
        {message.tiles.map((tile) => (
          <Tile key={tile.metric} tile={tile} rows={rows} now={at} window={windowOf(tile.metric, message.window_minutes)} />
        ))}
      </div>
      <section class="panel minutes">
        <h2>
          Viewers and plays {seconds && <LastHour seconds={seconds} />}
          <Legend names={["viewers:viewers", "plays:plays", ...(bySecond ? ["failures:failures"] : []), "muted:yesterday"]} />
        </h2>
        <Chart linked option={viewers} label={`Concurrent viewers and plays by ${bySecond ? "second" : "minute"}, ${watching ?? 0} viewers now`} />
      </section>
      <section class="panel minutes">
        <h2>
          Startup and stalls <Legend names={["p95:startup p95", "p50:median", "stalled:stalled share", "muted:yesterday p95"]} />
        </h2>
        <Chart linked option={startup} label="Startup time and stalled share by minute" />
      </section>
      <TopTitles titles={message.titles} window={message.window_minutes} />
      <Cohorts cohorts={message.cohorts} window={message.window_minutes} />
      <Deliveries deliveries={message.deliveries} window={message.window_minutes} />
      <Pipeline pipeline={message.pipeline} publish={message.publish} now={now.value} />
    </>
  );
}

function windowOf(metric: string, minutes: number): string {
  return metric === "concurrent_viewers" || metric === "attempts_per_second" ? "60 s" : `${minutes} min`;
}

function Legend({ names }: { readonly names: readonly string[] }) {
  return (
    <ul class="legend">
      {names.map((entry) => {
        const [colour = "", label] = entry.split(":");
        return (
          <li>
            <i style={{ background: `var(--${colour})` }} />
            {label}
          </li>
        );
      })}
    </ul>
  );
}

function Waiting({ down }: { readonly down: boolean }) {
  return (
    <main class="waiting" data-testid="waiting">
      <p>{down ? "The server does not answer. Trying again every second." : "Connecting to the live numbers."}</p>
    </main>
  );
}
