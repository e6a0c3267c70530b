/** Country × device: the share of watched time spent stalled, so that the worst cell is found at a glance. */

import type { Cohort } from "../data/protocol";
import { count, share } from "../format";
import { FEW, LOOKS } from "../metrics";

const UNKNOWN = "unknown";

export function Cohorts({ cohorts, window }: { readonly cohorts: readonly Cohort[]; readonly window: number }) {
  const countries = [...new Set(cohorts.map((cohort) => cohort.country))];
  const devices = [...new Set(cohorts.map((cohort) => cohort.device_type))].sort();
  const cell = new Map(cohorts.map((cohort) => [`${cohort.country} ${cohort.device_type}`, cohort]));
  return (
    <section class="panel cohorts">
      <h2>
        Stalled share, country × device <small>last {window} min, worst first</small>
        <a class="closer" href="/cohorts?metric=stalled_share&by=country&by=device_type&span=3600" data-testid="closer">
          look closer
        </a>
      </h2>
      <table>
        <thead>
          <tr>
            <th scope="col">Country</th>
            {devices.map((device) => (
              <th scope="col">{(device || UNKNOWN).replaceAll("_", " ")}</th>
            ))}
          </tr>
        </thead>
        <tbody>
          {countries.map((country) => (
            <tr key={country}>
              <th scope="row">{country || UNKNOWN}</th>
              {devices.map((device) => (
                <Cell cohort={cell.get(`${country} ${device}`)} />
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {cohorts.length === 0 && <p class="note">Nothing was watched in the last {window} minutes.</p>}
    </section>
  );
}

/** From half of what is worth a look to what is bad: a colour means the same on every screen and every day. */
function warmth(value: number): number {
  const { warn = 0, bad = 1 } = LOOKS.stalled_share;
  return Math.max(0, Math.min(1, (value - warn / 2) / (bad - warn / 2)));
}

/** The page Quality, on this cohort: what its stalls have in common. */
function into({ country, device_type }: Cohort): string {
  const asked = new URLSearchParams({ metric: "stalled_share", span: "3600" });
  for (const name of ["cdn", "app_version"]) asked.append("by", name);
  for (const [name, value] of Object.entries({ country, device_type })) asked.append("where", value === "" ? name : `${name}:${value}`);
  return `/cohorts?${asked}`;
}

function Cell({ cohort }: { readonly cohort: Cohort | undefined }) {
  if (cohort === undefined) return <td class="none" />;
  const value = cohort.stalled_share;
  const heat = Math.round(warmth(value ?? 0) * 100);
  const id = `cohort.${cohort.country}.${cohort.device_type}.stalled_share`;
  const title = `${count(cohort.viewers, "viewers").text} viewers, ${count(cohort.plays).text} plays`;
  return (
    <td class={cohort.plays < FEW ? "few" : ""} style={{ "--heat": `${heat}%` }} title={title}>
      <a href={into(cohort)}>
        <span class="number" data-testid={id} data-value={value ?? ""}>
          {share(value).text}
          {value !== null && <small>{"\u202f%"}</small>}
        </span>
      </a>
    </td>
  );
}
