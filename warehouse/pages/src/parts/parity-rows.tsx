/** The minutes in which live and batch differ, by what they are about: each opens to its metrics and its equation. */

import type { Parity, ParityRow } from "../data/protocol";
import { time } from "../format";
import { MetricRow } from "./parity-metrics";
import { PartTable } from "./parity-parts";

export function ParityRows({ found }: { readonly found: Parity }) {
  return (
    <section class="panel rows">
      <h2>
        Rows that differ{" "}
        <small>
          {found.rows.length === 0 ? "none" : `${found.rows.length} that tell most; playlake parity --json has all`}
        </small>
      </h2>
      {found.rows.map((row, i) => (
        <Row key={`${row.minute} ${nameOf(row)}`} row={row} found={found} id={`row.${i}`} />
      ))}
    </section>
  );
}

function Row({ row, found, id }: { readonly row: ParityRow; readonly found: Parity; readonly id: string }) {
  const unexplained = row.parts.filter((part) => part.live_unexplained !== 0 || part.batch_unexplained !== 0).length;
  const causes = found.causes.filter(({ cause }) => row.parts.some((part) => part.causes.some((one) => one.cause === cause)));
  return (
    <details data-testid={id} data-minute={row.minute} data-rollup={row.rollup}>
      <summary>
        <time class="number">{time(row.minute * 1_000)}</time>
        <span class="what">{nameOf(row)}</span>
        {unexplained > 0 && <b class="cause unexplained">{unexplained} unexplained</b>}
        {causes.map(({ cause, meaning }) => (
          <span class="cause" title={meaning}>
            {cause}
          </span>
        ))}
      </summary>
      {row.metrics.length > 0 && (
        <table>
          <thead>
            <tr>
              <th scope="col">Metric</th>
              <th scope="col">Live</th>
              <th scope="col">Batch</th>
              <th scope="col">Difference</th>
              <th scope="col">Because</th>
            </tr>
          </thead>
          <tbody>
            {row.metrics.map((metric) => (
              <MetricRow key={metric.metric} metric={metric} id={`${id}.${metric.metric}`} />
            ))}
          </tbody>
        </table>
      )}
      <PartTable parts={row.parts} causes={found.causes} id={id} />
    </details>
  );
}

function nameOf(row: ParityRow): string {
  if (row.dimensions.length === 0) return "everything";
  return row.dimensions.map(({ name, value }) => `${name.replaceAll("_", " ")} ${value ?? "unknown"}`).join(" · ");
}
