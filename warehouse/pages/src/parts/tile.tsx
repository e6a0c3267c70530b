/** One headline: the number, its last hour, and what it was at this time before. */

import { useMemo } from "preact/hooks";
import { Chart } from "../charts/chart";
import { spark } from "../charts/spark";
import type { Tile as TileData } from "../data/protocol";
import type { Row } from "../data/series";
import { together } from "../format";
import { LOOKS, level } from "../metrics";
import { palette } from "../theme";
import { Number } from "./figure";

interface Props {
  readonly tile: TileData;
  readonly rows: readonly Row[];
  readonly now: number;
  readonly window: string;
}

export function Tile({ tile, rows, now, window }: Props) {
  const look = LOOKS[tile.metric];
  const colour = palette.value;
  const minute = Math.floor(now / 60_000);
  const option = useMemo(() => spark(rows, look.measure, look.colour, colour, now), [rows, minute, colour]);
  const figure = look.format(tile.value);
  return (
    <section class={`tile ${level(look, tile.value)}`} aria-label={look.label} title={look.hint}>
      <h2>
        {look.label} <small>{window}</small>
      </h2>
      <Number id={tile.metric} value={tile.value} figure={figure} class="big" />
      <Chart class="spark" option={option} label={`${look.label}, last hour`} />
      <dl>
        <Earlier tile={tile} name="hour_ago" label="1 h ago" />
        <Earlier tile={tile} name="day_ago" label="yesterday" />
        <Earlier tile={tile} name="week_ago" label="last week" />
      </dl>
    </section>
  );
}

function Earlier({ tile, name, label }: { readonly tile: TileData; readonly name: "hour_ago" | "day_ago" | "week_ago"; readonly label: string }) {
  const value = tile[name];
  return (
    <div>
      <dt>{label}</dt>
      <dd class="number" data-testid={`${tile.metric}.${name}`} data-value={value ?? ""}>
        {together({ ...LOOKS[tile.metric].format(value), ...(tile.metric === "concurrent_viewers" || tile.metric === "attempts_per_second" ? { unit: "" } : {}) })}
      </dd>
    </div>
  );
}
