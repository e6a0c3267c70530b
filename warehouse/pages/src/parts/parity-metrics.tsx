/** Every metric that minutes give, live against batch, with its last differences. */

import type { MetricParity, Parity } from "../data/protocol";
import { exact, signed } from "../format";
import { Number } from "./figure";

export function ParityMetrics({ found }: { readonly found: Parity }) {
  const trend = (place: number) => found.trend.map((point) => point.differences[place] ?? null);
  return (
    <section class="panel">
      <h2>
        Metrics <small>{found.cutover_minute === null ? "nothing is published yet" : "minutes before the cut-over, which both sides hold whole"}</small>
      </h2>
      <table>
        <thead>
          <tr>
            <th scope="col">Metric</th>
            <th scope="col">Live</th>
            <th scope="col">Batch</th>
            <th scope="col">Difference</th>
            <th scope="col">Last {found.trend.length}</th>
            <th scope="col">Because</th>
          </tr>
        </thead>
        <tbody>
          {found.metrics.map((metric, place) => (
            <MetricRow key={metric.metric} metric={metric} id={`metric.${metric.metric}`} trend={trend(place)} />
          ))}
        </tbody>
      </table>
    </section>
  );
}

interface Props {
  readonly metric: MetricParity;
  readonly id: string;
  readonly trend?: readonly (number | null)[];
}

export function MetricRow({ metric, id, trend }: Props) {
  const { live, batch, unit } = metric;
  const difference = live === null || batch === null ? null : batch - live;
  return (
    <tr class={difference === 0 ? "equal" : ""}>
      <th scope="row" title={metric.metric}>
        {metric.title}
      </th>
      <td>
        <Number id={`${id}.live`} value={live} figure={exact(live, unit)} />
      </td>
      <td>
        <Number id={`${id}.batch`} value={batch} figure={exact(batch, unit)} />
      </td>
      <td>
        <Number id={`${id}.difference`} value={difference} figure={signed(difference, unit)} />
      </td>
      {trend && (
        <td>
          <Trend values={trend} />
        </td>
      )}
      <td class="because">{metric.causes.join(", ")}</td>
    </tr>
  );
}

const WIDTH = 120;
const HEIGHT = 20;

/** Differences around zero: up is more in batch. */
function Trend({ values }: { readonly values: readonly (number | null)[] }) {
  const most = Math.max(...values.map((value) => Math.abs(value ?? 0)), 0) || 1;
  const step = WIDTH / Math.max(1, values.length);
  return (
    <svg class="trend-bars" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} aria-hidden="true">
      <path class="zero" d={`M0 ${HEIGHT / 2}H${WIDTH}`} />
      {values.map((value, i) => {
        const height = (Math.abs(value ?? 0) / most) * (HEIGHT / 2);
        return value ? <rect x={i * step} width={step * 0.8} y={value > 0 ? HEIGHT / 2 - height : HEIGHT / 2} height={height} /> : null;
      })}
    </svg>
  );
}
