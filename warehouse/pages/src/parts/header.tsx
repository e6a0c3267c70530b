/** Name, pages, range, freshness, and the ways out to Airflow, the quality report and the SQL documentation. */

import type { Page } from "../app";
import { RANGES, type Range } from "../data/ranges";
import { chooseRange, fresh, live, now, range } from "../data/store";
import { age, time, timeSeconds } from "../format";
import { theme, toggleTheme } from "../theme";

export function Header({ pages, current }: { readonly pages: readonly Page[]; readonly current: Page }) {
  const links = live.value?.links;
  return (
    <header class="top">
      <a class="brand" href="/" aria-label="playlake, first page">
        <svg viewBox="0 0 16 16" aria-hidden="true">
          <rect width="16" height="16" rx="4" />
          <path d="M6 4.5v7l6-3.5z" />
        </svg>
        playlake
      </a>
      <nav aria-label="Pages">
        {pages.map((page) => (
          <a href={page.path} aria-current={page === current ? "page" : undefined}>
            {page.title}
          </a>
        ))}
      </nav>
      {current.hasRange && <Ranges />}
      <span class="fill" />
      {links && (
        <nav class="out" aria-label="Other tools">
          <a href={links.airflow} target="_blank" rel="noopener">
            Airflow
          </a>
          {links.quality && live.value?.pipeline.quality && (
            <a href={links.quality} target="_blank" rel="noopener">
              Quality report
            </a>
          )}
        </nav>
      )}
      <button type="button" class="plain" onClick={toggleTheme} data-testid="theme" aria-label="Switch between dark and light">
        {theme.value === "dark" ? "Light" : "Dark"}
      </button>
      <time class="clock number" data-testid="clock">
        {timeSeconds(now.value)}
      </time>
      <Badge />
    </header>
  );
}

function Ranges() {
  return (
    <fieldset class="ranges">
      <legend class="hidden">Time range</legend>
      {(Object.keys(RANGES) as Range[]).map((name) => (
        <label>
          <input type="radio" name="range" checked={range.value === name} onChange={() => chooseRange(name)} />
          <span>{name}</span>
        </label>
      ))}
    </fieldset>
  );
}

function Badge() {
  const state = fresh.value;
  const text = {
    connecting: () => "connecting",
    down: () => (state.state === "down" && state.since !== null ? `server gone since ${timeSeconds(state.since)}` : "no server"),
    empty: () => "no events yet",
    stale: () => (state.state === "stale" ? `stale · ${age(state.ageMs)} old` : ""),
    live: () => (state.state === "live" ? `live · ${age(state.ageMs)} old` : ""),
  }[state.state]();
  const since = state.state === "stale" ? `newest number from ${time(state.since)}` : undefined;
  return (
    <span class={`badge ${state.state}`} role="status" data-testid="badge" data-state={state.state} title={since}>
      <i aria-hidden="true" />
      <span class="number">{text}</span>
    </span>
  );
}
