/** What is out of range, for whom, by how much and since when. A click leads to the cohort, the metric and the time. */

import type { AlertShown } from "../data/protocol";
import { age, measured, moment, together } from "../format";

/** So many at once; the others are counted. */
const MOST = 6;
const UNKNOWN = "unknown";

export function Alerts({ alerts, now }: { readonly alerts: readonly AlertShown[]; readonly now: number }) {
  if (alerts.length === 0) return null;
  const open = alerts.filter((alert) => alert.closed_at === null);
  const shown = [...open, ...alerts.filter((alert) => alert.closed_at !== null)].slice(0, MOST);
  const loud = open.some((alert) => alert.severity === "critical") ? "bad" : open.length > 0 ? "warn" : "fine";
  return (
    <section class={`panel alerts ${loud}`} aria-label="Alerts" aria-live="polite" data-testid="alerts" data-open={open.length}>
      <h2>
        Alerts{" "}
        <small>
          {open.length === 0 ? "none open; closed in the last hours" : `${open.length} open`}
          {alerts.length > shown.length && `, ${alerts.length - shown.length} more in live.alerts`}
        </small>
      </h2>
      <ul>
        {shown.map((alert) => (
          <li key={alert.id}>
            <Line alert={alert} now={now} />
          </li>
        ))}
      </ul>
    </section>
  );
}

function Line({ alert, now }: { readonly alert: AlertShown; readonly now: number }) {
  const value = together(measured(alert.value, alert.unit));
  const usual = alert.expected === null ? null : together(measured(alert.expected, alert.unit));
  const limit = together(measured(alert.limit, alert.unit));
  const isOpen = alert.closed_at === null;
  const level = !isOpen ? "closed" : alert.severity === "critical" ? "bad" : "warn";
  return (
    <a href={`/cohorts?${alert.question}`} class={level} data-testid={`alert.${alert.id}`} data-value={alert.value ?? ""}>
      <span class="state">{isOpen ? alert.severity : "closed"}</span>
      <b data-testid="alert.cohort">{who(alert)}</b>
      <span>{alert.title}</span>
      <span class="number">{isOpen ? value : `peak ${together(measured(alert.peak, alert.unit))}`}</span>
      <small>
        {usual !== null && `usually ${usual}, `}
        {alert.is_high ? "limit" : "at least"} {limit}
        {alert.covers > 0 && `, explains ${alert.covers} more ${alert.covers === 1 ? "cohort" : "cohorts"}`}
        {alert.rule !== "automatic" && `, rule ${alert.rule}`}
      </small>
      <time dateTime={new Date(alert.began_at).toISOString()}>
        {isOpen ? `since ${moment(alert.began_at, now)}, ${age(now - alert.began_at)}` : `${moment(alert.began_at, now)} to ${moment(alert.closed_at ?? 0, now)}`}
      </time>
    </a>
  );
}

/** `BR · smart tv`; everything where no dimension tells it apart. */
function who({ cohort }: AlertShown): string {
  if (cohort.length === 0) return "Everything";
  return cohort.map(({ name, value }) => (value === null || value === "" ? `${UNKNOWN} ${name}` : name === "app_version" ? `app ${value}` : name === "cdn" ? `CDN ${value}` : value).replaceAll("_", " ")).join(" · ");
}
