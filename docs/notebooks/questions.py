"""Three questions to a video service's viewing data, asked of the SQL service: `make notebook` opens it."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="playlake: three questions")


@app.cell
def _():
    from itertools import pairwise

    import altair as alt
    import httpx
    import marimo as mo
    import pyarrow as pa

    return alt, httpx, mo, pa, pairwise


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    # Three questions

    What stalls cost and where, what waiting does to viewers, and where a title loses them. Every number is a metric's
    macro over published and live parts; nothing is computed here that another reader of the same data could define
    otherwise. The cells are yours to change: this file is plain Python.
    """)
    return


@app.cell
def _(mo):
    asked = mo.cli_args()
    server = mo.ui.text(asked.get("server") or "http://127.0.0.1:8701", label="SQL service", full_width=True)
    key = mo.ui.text("", label="API key (none on this machine)", kind="password")
    hours = mo.ui.slider(1, 7 * 24, value=24, label="hours to look at", show_value=True)
    mo.vstack([mo.hstack([server, key], widths=[2, 1]), hours])
    return hours, key, server


@app.cell
def _(httpx, key, pa, server):
    def ask(sql, **parameters):
        """The rows that the query gives, as an Arrow table; what is wrong with it, as the server says it."""
        answer = httpx.post(
            f"{server.value}/v1/sql",
            json={"sql": sql, "parameters": parameters, "format": "arrow"},
            headers={"Authorization": f"Bearer {key.value}"} if key.value else {},
            timeout=60,
        )
        if answer.is_error:
            raise ValueError(answer.json()["error"]["message"])
        return pa.ipc.open_stream(answer.content).read_all()

    [freshness] = ask("FROM metrics.freshness").to_pylist()
    newest = (freshness["live_to"] or freshness["cutover_minute"]).isoformat()
    return ask, freshness, newest


@app.cell(hide_code=True)
def _(freshness, mo):
    mo.md(f"""
    Published to **{freshness["cutover_minute"]}**, live from there to **{freshness["live_to"]}** (UTC).
    """)
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## 1. Whose stalls are worth mending first?

    The worst share is seldom the answer: a small cohort can be terrible at little cost. *Excess* is the stalled time
    that would go away if a cohort stalled as little as all others: `stall_ms - watched_ms × (the others' share)`.
    """)
    return


@app.cell
def _(ask, hours, newest):
    excess = ask(
        """
        WITH cohort AS (
          SELECT cdn, country, sum(stall_ms)::BIGINT AS stall_ms, sum(watched_ms)::BIGINT AS watched_ms,
                 stalled_share(stall_ms, watched_ms) AS stalled_share
          FROM metrics.quality_minute
          WHERE rollup = 'cdn_app_country' AND minute > $newest::TIMESTAMPTZ - to_hours($hours)
          GROUP BY cdn, country
        )
        SELECT coalesce(cdn, 'CDN unknown') || ', ' || coalesce(country, 'country unknown') AS cohort, stalled_share,
               (sum(stall_ms) OVER () - stall_ms) / nullif(sum(watched_ms) OVER () - watched_ms, 0) AS others,
               round(watched_ms / 3.6e6, 1) AS watched_hours,
               round((stall_ms - watched_ms * others) / 60000, 1) AS excess_minutes
        FROM cohort WHERE watched_ms > 0 ORDER BY excess_minutes DESC NULLS LAST, cohort
        """,
        hours=hours.value,
        newest=newest,
    )
    return (excess,)


@app.cell
def _(alt, excess, mo):
    excess_chart = (
        alt.Chart(excess.slice(0, 15))
        .mark_bar()
        .encode(
            x=alt.X("excess_minutes", title="stalled minutes above what others have"),
            y=alt.Y("cohort", sort=None, title=None, axis=alt.Axis(labelLimit=240)),
            color=alt.Color(
                "stalled_share",
                title="stalled share",
                scale=alt.Scale(scheme="orangered"),
                legend=alt.Legend(format="%"),
            ),
            tooltip=["cohort", "stalled_share", "others", "watched_hours", "excess_minutes"],
        )
        .properties(width=560)
    )
    mo.vstack(
        [excess_chart, mo.ui.table(excess, page_size=5, format_mapping={"stalled_share": "{:.2%}", "others": "{:.2%}"})]
    )
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## 2. Do those who wait longer watch less?

    Plays by how long their first frame took, and what became of them: the median time watched, and the share that
    played for thirty seconds at least. Compared within a kind of device, since televisions start slower *and* are
    watched longer. It shows what goes together, not what causes what: an experiment would.
    """)
    return


@app.cell
def _(ask, hours, newest):
    waiting = ask(
        """
        SELECT device_type, least(floor(startup_ms / 1000), 5)::INT AS startup_s, count(*) AS plays,
               median(watched_ms) / 60000 AS watched_minutes,
               valid_play_rate(valid_plays, starts) AS valid_play_rate
        FROM metrics.session_quality
        WHERE startup_ms IS NOT NULL AND end_reason <> 'open' AND NOT coalesce(is_live, false)
          AND started_at > $newest::TIMESTAMPTZ - to_hours($hours)
        GROUP BY ALL HAVING count(*) >= 5 ORDER BY device_type, startup_s
        """,
        hours=hours.value,
        newest=newest,
    )
    return (waiting,)


@app.cell
def _(alt, mo, waiting):
    lines = (
        alt.Chart(waiting)
        .encode(
            x=alt.X("startup_s:O", title="seconds to the first frame (5: five and more)"),
            color=alt.Color("device_type", title="device"),
            tooltip=["device_type", "startup_s", "plays", "watched_minutes", "valid_play_rate"],
        )
        .properties(width=300)
    )
    mo.hstack(
        [
            lines.mark_line(point=True).encode(y=alt.Y("watched_minutes", title="median minutes watched")),
            lines.mark_line(point=True).encode(
                y=alt.Y("valid_play_rate", title="share of plays of 30 s and more", axis=alt.Axis(format="%"))
            ),
        ],
        widths="equal",
    )
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    ## 3. Where does a title lose its viewers?

    The share of its plays that got as far as each hundredth of its length, beside all titles together. A cliff that the
    others do not have is a place to look at in the title itself.
    """)
    return


@app.cell
def _(ask, mo):
    watched = ask(
        """
        SELECT content_id, coalesce(title, content_id) AS name, sum(furthest_plays)::BIGINT AS plays
        FROM gold.title_retention LEFT JOIN gold.titles USING (content_id)
        GROUP BY ALL ORDER BY plays DESC, content_id LIMIT 50
        """
    ).to_pylist()
    choices = {f"{title['name']} ({title['plays']:,} plays)": title["content_id"] for title in watched}
    mo.stop(not choices, mo.md("No title has been published with its retention yet."))
    title = mo.ui.dropdown(choices, value=next(iter(choices)), label="title")
    title
    return (title,)


@app.cell
def _(ask, title):
    retention = ask(
        """
        SELECT place AS position_percent,
               title_retention_at(position_percent, if(content_id = $title, furthest_plays, 0), place) AS this_title,
               title_retention_at(position_percent, furthest_plays, place) AS all_titles
        FROM gold.title_retention, range(100) AS places(place)
        GROUP BY place ORDER BY place
        """,
        title=title.value,
    )
    return (retention,)


@app.cell
def _(alt, mo, pairwise, retention):
    losses = sorted(
        (before["this_title"] - after["this_title"], after["position_percent"])
        for before, after in pairwise(retention.to_pylist())
        if before["this_title"] is not None
    )
    curve = (
        alt.Chart(retention)
        .transform_fold(["this_title", "all_titles"], ["of", "share"])
        .mark_line()
        .encode(
            x=alt.X("position_percent:Q", title="hundredths of the title's length"),
            y=alt.Y(
                "share:Q",
                title="share of plays that got this far",
                scale=alt.Scale(domain=[0, 1]),
                axis=alt.Axis(format="%"),
            ),
            color=alt.Color("of:N", title=None),
        )
        .properties(width=640)
    )
    places = ", ".join(f"{place} % ({loss:.0%} of its plays)" for loss, place in reversed(losses[-3:]) if loss > 0)
    mo.vstack([curve, mo.md(f"It loses most at {places}." if places else "Nobody has left it yet.")])
    return (losses,)


if __name__ == "__main__":
    app.run()
