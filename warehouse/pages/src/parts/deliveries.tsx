/** CDN × app version × country: the cohorts that are furthest beyond what is bad, of those with enough plays. */

import type { Delivery } from "../data/protocol";
import { count, millis, rate, share } from "../format";
import { atLeast } from "../data/share";
import { FEW, LOOKS, type Look, level } from "../metrics";
import { Number } from "./figure";

const SHOWN = 8;
const UNKNOWN = "unknown";
/** Column → how its metric is shown. */
const JUDGED = {
  startup_p95_ms: LOOKS.startup_p95_ms,
  stalled_share: LOOKS.stalled_share,
  failure_rate: LOOKS.start_failure_rate,
} as const;
type Judged = keyof typeof JUDGED;

export function Deliveries({ deliveries, window }: { readonly deliveries: readonly Delivery[]; readonly window: number }) {
  const ranked = [...deliveries].sort((a, b) => +few(a) - +few(b) || beyond(b) - beyond(a));
  return (
    <section class="panel deliveries">
      <h2>
        CDN × app version × country <small>last {window} min, worst first</small>
      </h2>
      <table>
        <thead>
          <tr>
            <th scope="col">Cohort</th>
            <th scope="col">Viewers</th>
            <th scope="col">Startup p95</th>
            <th scope="col">Stalled</th>
            <th scope="col" title="start failures and playback failures, of plays">Failed</th>
          </tr>
        </thead>
        <tbody>
          {ranked.slice(0, SHOWN).map((one, i) => {
            const names = [one.country, one.cdn, one.app_version];
            const id = `delivery.${i}`;
            const cell = (name: Judged, figure: Look["format"]) => (
              <td class={level(JUDGED[name], one[name])}>
                <Number id={`${id}.${name}`} value={one[name]} figure={figure(one[name])} />
              </td>
            );
            return (
              <tr key={names.join("\t")} class={few(one) ? "few" : ""} data-testid={id} data-cohort={names.join("|")}>
                <th scope="row">
                  <a href={into(one)} title={`${count(one.plays).text} plays`}>
                    {names.map((name) => name || UNKNOWN).join(" · ")}
                  </a>
                </th>
                <td>
                  <Number id={`${id}.viewers`} value={one.viewers} figure={rate(one.viewers, "")} />
                </td>
                {cell("startup_p95_ms", millis)}
                {cell("stalled_share", share)}
                {cell("failure_rate", share)}
              </tr>
            );
          })}
        </tbody>
      </table>
      {deliveries.length === 0 && <p class="note">Nothing was watched in the last {window} minutes.</p>}
    </section>
  );
}

const few = (one: Delivery): boolean => one.plays < FEW;

/** How many times what is bad, by the metric that is furthest beyond it. */
const beyond = (one: Delivery): number => Math.max(...Object.keys(JUDGED).map((name) => times(one, name as Judged)));

function times(one: Delivery, name: Judged): number {
  const value = one[name] ?? 0;
  // Two of twenty plays that failed are no outage yet: of a share of plays its lower bound counts.
  return (name === "failure_rate" ? atLeast(value, one.plays) : value) / (JUDGED[name].bad ?? 1);
}

/** The page Quality, on this cohort and on what is worst of it. */
function into(one: Delivery): string {
  const worst = (Object.keys(JUDGED) as Judged[]).reduce((a, b) => (times(one, b) > times(one, a) ? b : a));
  const metric = worst === "failure_rate" ? "start_failure_rate" : worst;
  const asked = new URLSearchParams({ metric, by: "device_type", span: "3600" });
  for (const name of ["country", "cdn", "app_version"] as const) asked.append("where", one[name] === "" ? name : `${name}:${one[name]}`);
  return `/cohorts?${asked}`;
}
