/** What the metrics made of a session: the few figures that matter first, then every figure of its row. */

import type { SessionFigure, SessionView } from "../data/protocol";
import { NOTHING, type Figure, count, duration, measured, moment, timeSeconds } from "../format";
import { now } from "../data/store";
import { Number } from "./figure";

/** What matters first, as it is called for short. */
const FIRST: Readonly<Record<string, string>> = {
  experience_score: "experience",
  startup_ms: "startup",
  watched_ms: "watched",
  stall_ms: "stalled",
  stall_count: "stalls",
  average_bitrate_kbps: "average bitrate",
  seeking_ms: "seeking",
  paused_ms: "paused",
  ad_ms: "in ads",
};
const KINDS: readonly [SessionFigure["kind"], string][] = [
  ["score", "Metrics"],
  ["time", "Times"],
  ["count", "Counts"],
  ["who", "Who, where, how it ended"],
];

export function SessionHead({ view }: { readonly view: SessionView }) {
  const told = new Map(view.figures.map((one) => [one.name, one]));
  const text = (name: string) => told.get(name)?.text ?? null;
  const place = ["content_id", "device_type", "country", "cdn", "app_version", "connection_type"].map(text).filter((one) => one !== null);
  return (
    <section class="panel head">
      <div class="who">
        <h1>
          <code data-testid="session_id">{view.session_id}</code>
        </h1>
        <p>
          {place.join(" · ").replaceAll("_", " ")}
          {text("user_id") && (
            <>
              {" · user "}
              <a href={`/session?find=${encodeURIComponent(text("user_id") ?? "")}`}>{text("user_id")}</a>
            </>
          )}
        </p>
        <p>
          {moment(view.started_at ?? 0, now.value)} to {timeSeconds(view.ended_at ?? 0)}, {text("end_reason")?.replaceAll("_", " ")}
          {text("error_code") && ` (${text("error_code")})`}
        </p>
      </div>
      {Object.entries(FIRST).map(([name, label]) => {
        const one = told.get(name);
        return (
          one && (
            <div class="fact" title={one.doc}>
              <h3>{label}</h3>
              <Number id={`head.${name}`} value={one.number} figure={figureOf(one)} class="big" />
            </div>
          )
        );
      })}
    </section>
  );
}

export function SessionFigures({ view }: { readonly view: SessionView }) {
  return (
    <section class="panel figures">
      <h2>
        What the metrics made of it <small>every figure of its row in silver.sessions, and every metric of a session</small>
      </h2>
      {KINDS.map(([kind, title]) => (
        <details open={kind !== "who"}>
          <summary>{title}</summary>
          <dl>
            {view.figures
              .filter((one) => one.kind === kind)
              .map((one) => (
                <div key={one.name} title={one.doc}>
                  <dt>{one.title.replace(/ (ms|kbps)$/, "")}</dt>
                  <dd>
                    {one.number === null ? (
                      <span class="number" data-testid={`figure.${one.name}`} data-value={one.text ?? ""}>
                        {one.text ?? NOTHING}
                      </span>
                    ) : (
                      <Number id={`figure.${one.name}`} value={one.number} figure={figureOf(one)} />
                    )}
                  </dd>
                </div>
              ))}
          </dl>
        </details>
      ))}
    </section>
  );
}

function figureOf({ number, unit }: SessionFigure): Figure {
  if (number === null) return { text: NOTHING, unit: "" };
  if (unit === "stamp") return { text: timeSeconds(number), unit: "" };
  if (unit === "ms") return duration(number);
  return unit === "points" ? measured(number, unit) : count(number, unit);
}
