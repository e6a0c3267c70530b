/** A number with its unit; `value` is the unrounded one, for machines that read the page. */

import type { Figure } from "../format";

interface Props {
  readonly id: string;
  readonly value: number | null | undefined;
  readonly figure: Figure;
  readonly class?: string;
}

export function Number({ id, value, figure, class: name = "" }: Props) {
  return (
    <span class={`number ${name}`} data-testid={id} data-value={value ?? ""}>
      {figure.text}
      {figure.unit && <small>{"\u202f" + figure.unit}</small>}
    </span>
  );
}
