/** The equation of every part: live + each cause = batch. */

import type { Cause, Parity, ParityPart } from "../data/protocol";
import { exact, signed } from "../format";
import { Number } from "./figure";

export function ParityParts({ found }: { readonly found: Parity }) {
  const parts = found.parts.filter((part) => part.live !== 0 || part.batch !== 0 || part.causes.length > 0);
  return (
    <section class="panel">
      <h2>
        Parts <small>live + each cause = batch; what metrics are made of, over everything in these minutes</small>
      </h2>
      <PartTable parts={parts} causes={found.causes} id="part" />
    </section>
  );
}

interface Props {
  readonly parts: readonly ParityPart[];
  readonly causes: readonly Cause[];
  readonly id: string;
}

/** A column a cause that is there. */
export function PartTable({ parts, causes, id }: Props) {
  const used = causes.filter(({ cause }) => parts.some((part) => part.causes.some((one) => one.cause === cause)));
  const hasUnexplained = parts.some((part) => part.live_unexplained !== 0 || part.batch_unexplained !== 0);
  return (
    <table>
      <thead>
        <tr>
          <th scope="col">Part</th>
          <th scope="col">Live</th>
          {used.map(({ cause, meaning }) => (
            <th scope="col" title={meaning}>
              {cause}
            </th>
          ))}
          {hasUnexplained && <th scope="col">unexplained</th>}
          <th scope="col">Batch</th>
        </tr>
      </thead>
      <tbody>
        {parts.map((part) => (
          <tr key={part.part}>
            <th scope="row">
              <code>{part.part}</code>
            </th>
            <td>
              <Number id={`${id}.${part.part}.live`} value={part.live} figure={exact(part.live, "")} />
            </td>
            {used.map(({ cause }) => {
              const amount = part.causes.find((one) => one.cause === cause)?.amount ?? 0;
              return (
                <td class={amount === 0 ? "nothing" : ""}>
                  <Number id={`${id}.${part.part}.${cause}`} value={amount} figure={signed(amount, "")} />
                </td>
              );
            })}
            {hasUnexplained && <Unexplained part={part} />}
            <td>
              <Number id={`${id}.${part.part}.batch`} value={part.batch} figure={exact(part.batch, "")} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** Both sides, for they may be wrong by the same amount. */
function Unexplained({ part }: { readonly part: ParityPart }) {
  const sides = [
    ["live", part.live_unexplained],
    ["batch", part.batch_unexplained],
  ] as const;
  const wrong = sides.filter(([, amount]) => amount !== 0);
  if (wrong.length === 0) return <td />;
  return <td class="bad number">{wrong.map(([side, amount]) => `${side} ${signed(amount, "").text}`).join(", ")}</td>;
}
