/** The titles that most people watch, with the direction they move in. */

import type { Title } from "../data/protocol";
import { count, rate, share } from "../format";
import { LOOKS, level } from "../metrics";
import { Number } from "./figure";

export function TopTitles({ titles, window }: { readonly titles: readonly Title[]; readonly window: number }) {
  const most = Math.max(1, ...titles.map((title) => title.viewers));
  return (
    <section class="panel titles">
      <h2>
        Top titles <small>last {window} min</small>
      </h2>
      <table>
        <thead>
          <tr>
            <th scope="col">Title</th>
            <th scope="col">Viewers</th>
            <th scope="col">Change</th>
            <th scope="col">Plays</th>
            <th scope="col">Stalled</th>
          </tr>
        </thead>
        <tbody>
          {titles.map((title, i) => (
            <tr key={title.content_id} data-testid={`title.${i}`} data-title={title.content_id}>
              <th scope="row" title={title.content_id}>
                <i class="bar" style={{ width: `${(title.viewers / most) * 100}%` }} />
                <span>{title.content_id}</span>
              </th>
              <td>
                <Number id={`title.${i}.viewers`} value={title.viewers} figure={rate(title.viewers, "")} />
              </td>
              <td>
                <Change id={`title.${i}.change`} value={title.change} />
              </td>
              <td>
                <Number id={`title.${i}.plays`} value={title.plays} figure={count(title.plays)} />
              </td>
              <td class={level(LOOKS.stalled_share, title.stalled_share)}>
                <Number id={`title.${i}.stalled_share`} value={title.stalled_share} figure={share(title.stalled_share)} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {titles.length === 0 && <p class="note">Nothing was watched in the last {window} minutes.</p>}
    </section>
  );
}

function Change({ id, value }: { readonly id: string; readonly value: number }) {
  const way = value > 0.05 ? "up" : value < -0.05 ? "down" : "level";
  const arrow = { up: "▲", down: "▼", level: "=" }[way];
  return (
    <span class={`change ${way}`}>
      <Number id={id} value={value} figure={rate(Math.abs(value), "")} /> <i aria-label={way}>{arrow}</i>
    </span>
  );
}
