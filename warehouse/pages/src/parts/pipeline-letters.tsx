/** Dead letters: how many of which reason, when, the newest of them, and what to do about them. */

import { useMemo } from "preact/hooks";
import { Chart } from "../charts/chart";
import { lettersChart, reasonsOf } from "../charts/letters";
import type { Letters } from "../data/protocol";
import { now } from "../data/store";
import { age, count } from "../format";
import { palette, rem } from "../theme";
import { Command } from "./command";
import { Number } from "./figure";

export function PipelineLetters({ letters }: { readonly letters: Letters }) {
  const colour = palette.value;
  const text = JSON.stringify(letters);
  const option = useMemo(() => lettersChart(letters, now.peek(), colour, rem()), [text, colour]);
  const total = letters.counts.reduce((sum, one) => sum + one.total, 0);
  const [newest] = letters.newest;
  return (
    <section class="panel letters" aria-label="Dead letters">
      <h2>
        Dead letters <small>records that broke their contract, today and yesterday; they are kept with their bytes</small>
        <ul class="legend">
          {reasonsOf(letters).map(({ reason, colour: shade }) => (
            <li>
              <i style={{ background: `var(--${shade})` }} />
              {reason}
            </li>
          ))}
        </ul>
      </h2>
      {letters.problem && <p class="banner why" role="alert">{letters.problem}</p>}
      {total === 0 && !letters.problem && <p class="note" data-testid="no-letters">None in these days: every record was what its contract says.</p>}
      {newest && (
        <>
          <Chart option={option} label={`Dead letters by hour, ${count(total).text} in all`} />
          <div class="two">
            <table>
              <thead>
                <tr>
                  <th>Reason</th>
                  <th class="text">Topic</th>
                  <th>Letters</th>
                  <th>Newest</th>
                </tr>
              </thead>
              <tbody>
                {letters.counts.map((one) => (
                  <tr key={`${one.topic} ${one.reason}`} title={one.meaning}>
                    <th scope="row">{one.reason}</th>
                    <td class="text">{one.topic}</td>
                    <td><Number id={`letters.${one.topic}.${one.reason}`} value={one.total} figure={count(one.total)} /></td>
                    <td class="number">{age(now.value - one.newest_at)} ago</td>
                  </tr>
                ))}
              </tbody>
            </table>
            <ul class="newest" data-testid="newest-letters">
              {letters.newest.slice(0, 6).map((one) => (
                <li key={one.place}>
                  <code>{one.place}</code> <small>{age(now.value - one.received_at)} ago</small>
                  <br />
                  {one.reason}
                  {one.field && ` in ${one.field}`}: {one.detail}
                </li>
              ))}
            </ul>
          </div>
          <div class="todo">
            <Command text={`playlake deadletters show ${newest.place}`} />
            <Command text={`playlake deadletters list --reason ${newest.reason}`} />
            <Command text={`playlake deadletters replay --reason ${newest.reason}`} />
          </div>
          <p class="note">A replay says first what it would send; <code>--send</code> sends it, and twice changes nothing.</p>
        </>
      )}
    </section>
  );
}
