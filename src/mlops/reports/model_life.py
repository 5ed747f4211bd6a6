"""Render one page on a model's life for the product owner. It opens from disk and needs no network.

All charts share one time axis. Marks differ by form, not by colour alone; the pointer or the keyboard shows what each
means, and a table behind each chart has its figures.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, NamedTuple

import pandas as pd

from mlops.contract import Policy, resolve_limit
from mlops.questions import FigureNames, Question
from mlops.reports.charts import Chart, Table, TimeAxis, draw_timeline
from mlops.reports.pages import render_template

_BLUE, _ORANGE, _GREY, _BAND = "#0b5cad", "#b65c00", "#6b7178", "#eceff2"
_STEPS = ("#f4f6f8", "#d6e4f2", "#a9c8e6", "#6ea3d4", "#2f78b9", "#0b4a86")
"""Fills of a week's drift: each step is a quarter of the limit."""
_CROSSED = {"drift", "missing"}
"""States of a week that have a cross."""
_ROW = 0.22
"""Height of one row of a chart, inches."""
Row = Mapping[Any, Any]


class _Chart(NamedTuple):
    """Label, SVG and figures of a chart. Without an SVG the label is a sentence that is shown instead."""

    label: str
    svg: str = ""
    table: Table = Table((), ())


class _Section(NamedTuple):
    """A heading, an explanation, and the charts below it."""

    heading: str
    text: str
    charts: Sequence[_Chart]


@dataclass(frozen=True)
class ModelLife:
    """The data of the page about one model. Frames have the columns of their tables; times are UTC without zone."""

    model: str
    question: str
    kind: Question
    as_of: datetime
    metrics: pd.DataFrame
    decisions: pd.DataFrame
    alerts: pd.DataFrame
    drift: pd.DataFrame
    moves: pd.DataFrame
    """Moves of the champion, columns as_of, move, to_version, reason; oldest first."""
    quarantine: pd.DataFrame
    """Rows set aside per run, columns as_of, rows."""
    verdicts: Sequence[Mapping[str, Any]]
    """One per judged version: version, verdict, until (end of its training days), rules (name, passed, reason)."""
    unjudged: Sequence[str] = ()
    """Limits that can never be judged at the volume of the newest window, one sentence each."""

    @cached_property
    def result_windows(self) -> list[dict[Any, Any]]:
        """The judged windows, all rows, oldest first."""
        rows = self.metrics[(self.metrics["state"] == "judged") & (self.metrics["slice"] == "")]
        return rows.sort_values("window_start").to_dict("records")

    @cached_property
    def weeks(self) -> list[dict[Any, Any]]:
        """Drift of every column, all rows, oldest week first."""
        rows = self.drift[(self.drift["slice"] == "") & (self.drift["column"] != "*")]
        return rows.sort_values(["week", "column"]).to_dict("records")

    @cached_property
    def alerts_by_name(self) -> dict[str, list[dict[Any, Any]]]:
        """The alerts of each rule and subject."""
        groups = self.alerts.groupby(["rule", "subject"])
        return {f"{rule} {subject}".strip(): group.to_dict("records") for (rule, subject), group in groups}

    @cached_property
    def axis(self) -> TimeAxis:
        """The time axis of all charts, which is at least four weeks long."""
        known = [row["window_start"] for row in self.result_windows] + [row["week"] for row in self.weeks]
        first = min([*known, pd.Timestamp(self.as_of) - timedelta(days=28)])
        labels = [*self.alerts_by_name, *(row["column"] for row in self.weeks)]
        return TimeAxis(first, pd.Timestamp(self.as_of), max(map(len, labels), default=0))


def render_page(life: ModelLife, policy: Policy) -> str:
    """Render the page as HTML without external files."""
    windows = life.result_windows
    note = f"{life.model}, as of {life.as_of:%-d %B %Y} UTC. {_summarise_windows(life.kind.names, windows)}"
    note += f" Too few rows: {'; '.join(life.unjudged)}." if life.unjudged else ""
    return render_template(
        "life.html", question=life.question, note=note, facts=_list_facts(life), sections=_sections(life, policy),
        verdicts=list(_list_verdicts(life)), decisions=_list_decisions(life), alerts=_list_alerts(life),
    )  # fmt: skip


def _sections(life: ModelLife, policy: Policy) -> list[_Section]:
    return [
        *_describe_quality(life, policy),
        _Section(
            "Which version served, and what happened",
            "Each alert from the first to the last run that saw it; a hollow one is open. Below, rows set aside in "
            "quarantine.",
            [_draw_events(life)],
        ),
        _Section(
            "Which columns moved",
            "Each week against the weeks before it; the darker, the further off. A cross: more than the column's clean "
            "weeks allow, or many missing values. Only the columns in bold raise alerts.",
            [_draw_drift(life, policy)],
        ),
    ]


def _describe_quality(life: ModelLife, policy: Policy) -> tuple[_Section, _Section]:
    windows, axis, kind, names = life.result_windows, life.axis, life.kind, life.kind.names
    trust = "How far its probabilities can be trusted" if kind.method == "predict_proba" else "How far off it is"
    unknown = " No loss is expected before labels come: a predicted number does not tell how far off it may be."
    band = resolve_limit(policy.retrain_gap, windows[-1].get("gap_reference", math.nan) if windows else math.nan)
    return (
        _Section(
            "How well it ranks",
            f"{_capitalise(names.ranking_words)} of each window; 0.5 is random. The bars are 95 % intervals over days. "
            "Dashed line with squares: the first model, had it never been retrained.",
            [_draw_series(axis, windows, ("ranking", "ranking", "baseline_ranking"), names.ranking_words)],
        ),
        _Section(
            trust,
            f"{_capitalise(names.loss_words)}, lower is better, and the {names.gap_words}: {names.gap_meaning}. "
            f"Outside the grey band retraining is due.{'' if kind.has_expected_loss else unknown}",
            [
                _draw_series(axis, windows, ("loss", "loss", "baseline_loss"), names.loss_words),
                _draw_series(axis, windows, ("gap", "gap", ""), names.gap_words, band if math.isfinite(band) else 0.0),
            ],
        ),
    )


def _capitalise(words: str) -> str:
    return words[0].upper() + words[1:]


def _list_facts(life: ModelLife) -> dict[str, str]:
    windows, moves = life.result_windows, life.moves.to_dict("records")
    pages = int(((life.alerts["severity"] == "page") & life.alerts["resolved"].isna()).sum())
    return {
        "serves now": f"version {moves[-1]['to_version']:.0f}" if moves else "nothing",
        f"{life.kind.names.ranking_words}, newest window": f"{windows[-1]['ranking']:.3f}" if windows else "on hold",
        f"{life.kind.names.gap_words}, newest": f"{windows[-1]['gap']:+.3f}" if windows else "on hold",
        "champion changed": f"{max(len(moves) - 1, 0)} times",
        "to look at today": f"{pages} alert{'' if pages == 1 else 's'}",
    }


def _summarise_windows(names: FigureNames, windows: Sequence[Row]) -> str:
    if not windows:
        return "No window of matured labels has been judged yet."
    ranking, loss, baseline_ranking, baseline_loss, gain = (
        sum(row[name] for row in windows) / len(windows)
        for name in ("ranking", "loss", "baseline_ranking", "baseline_loss", "loss_gain")
    )
    figures = f"{names.ranking_words} {ranking:.3f}, {names.loss_words} {loss:.3f}"
    means = f"Mean over {len(windows)} window{'' if len(windows) == 1 else 's'}: {figures}"
    if math.isnan(baseline_ranking) or not gain:
        return f"{means}."
    return f"{means}. Never retrained, the first model would have had {baseline_ranking:.3f} and {baseline_loss:.3f}."


def _draw_series(
    axis: TimeAxis, rows: Sequence[Row], names: tuple[str, str, str], title: str, band: float = 0.0
) -> _Chart:
    """Draw a figure per window with its interval, and the first model's.

    Args:
        axis: the time axis.
        rows: the windows, oldest first.
        names: column of the figure, beginning of the columns of its bounds, column of the first model's figure or "".
        title: what the figure is called.
        band: values between -band and band are drawn on grey; 0: none.
    """
    if not rows:
        return _Chart(f"{title}: nothing has been judged yet.")
    column, stem, baseline = names
    middles = [row["window_start"] + (row["window_end"] - row["window_start"]) / 2 for row in rows]
    days = [f"{row['window_start']:%-d %b} to {row['window_end'] - timedelta(days=1):%-d %b}" for row in rows]

    def draw(chart: Chart) -> None:
        axes = chart.axes
        if band:
            axes.axhspan(-band, band, color=_BAND)
        if baseline:
            axes.plot(middles, [row[baseline] for row in rows], "s--", color=_ORANGE)
        low, high = ([row[f"{stem}_{end}"] for row in rows] for end in ("low", "high"))
        axes.vlines(middles, low, high, color=_BLUE, alpha=0.5)
        axes.figure.text(0.005, 0.8, title, fontweight="bold")
        axes.plot(middles, [row[column] for row in rows], color=_BLUE)
        for middle, window, row in zip(middles, days, rows, strict=True):
            chart.add_point(
                middle, row[column], f"{window}: {title} {row[column]:.4f}, version {row['model_version']:.0f}"
            )

    label = f"{title} per window, {rows[0][column]:.3f} at first, {rows[-1][column]:.3f} at last"
    figures = (column, f"{stem}_low", f"{stem}_high", *([baseline] if baseline else ()))
    table = Table(
        ("window", "version", title, "from", "to", *(["first model"] if baseline else ())),
        [
            (window, f"{row['model_version']:.0f}", *(_format_number(row[name]) for name in figures))
            for window, row in zip(days, rows, strict=True)
        ],
    )
    return _Chart(label, draw_timeline(draw, axis, 1.9, label, _BLUE), table)


def _format_number(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else ""


def _draw_events(life: ModelLife) -> _Chart:
    """Draw which version served, the alerts and the rows in quarantine, each kind in a row of its own."""
    moves, alerts, quarantine = life.moves.to_dict("records"), life.alerts_by_name, life.quarantine.to_dict("records")
    most = max((row["rows"] for row in quarantine), default=1)

    def draw(chart: Chart) -> None:
        chart.label_rows(["version", *alerts, "quarantine"])
        for number, move in enumerate(moves):
            until = moves[number + 1]["as_of"] if number + 1 < len(moves) else life.axis.end
            chart.add_box(0, move["as_of"], until, _describe_move(move), fill=_STEPS[1 + number % 2], edge=_BLUE)
            chart.axes.text(max(move["as_of"], life.axis.start), 0, f" {move['to_version']:.0f}", va="center", zorder=5)
        for line, alert in ((n, alert) for n, group in enumerate(alerts.values(), 1) for alert in group):
            text = f"{alert['severity']} to {alert['owner']}: {alert['evidence']}"
            until = max(alert["last_seen"], alert["first_seen"] + timedelta(days=1))
            fill = "#fff" if pd.isna(alert["resolved"]) else _ORANGE
            chart.add_box(line, alert["first_seen"], until, text, fill=fill, edge=_ORANGE)
        for row in quarantine:
            text, until = f"{row['rows']} rows as of {row['as_of']:%-d %b}", row["as_of"] + timedelta(days=1)
            chart.add_box(
                len(alerts) + 1, row["as_of"], until, text, fill=_GREY, edge=_GREY, height=0.8 * row["rows"] / most
            )

    total = sum(int(row["rows"]) for row in quarantine)
    label = f"Changes of the champion: {len(moves)}, alerts: {len(life.alerts)}, rows in quarantine: {total}"
    events = [(move["as_of"], _describe_move(move)) for move in moves]
    events += [(row["as_of"], f"{row['rows']} rows in quarantine") for row in quarantine]
    table = Table(("as of", "what"), [(f"{day:%-d %b %Y}", what) for day, what in sorted(events)])
    return _Chart(label, draw_timeline(draw, life.axis, _ROW * (len(alerts) + 2) + 0.5, label, _BLUE), table)


def _describe_move(move: Row) -> str:
    return f"version {move['to_version']:.0f}: {move['move']}, {move['reason']}"


def _draw_drift(life: ModelLife, policy: Policy) -> _Chart:
    """Draw a row per column and a box per week; columns that page come first, in bold."""
    rows = life.weeks
    if not rows:
        return _Chart("No week has been compared yet.")
    columns = sorted({row["column"] for row in rows}, key=lambda name: (name not in policy.paging, name))

    def draw(chart: Chart) -> None:
        chart.label_rows(columns, bold=sum(column in policy.paging for column in columns))
        crosses = []
        for row in rows:
            line, until = columns.index(row["column"]), row["week"] + timedelta(days=7)
            share = row["psi"] / row["limit"] if row["limit"] and math.isfinite(row["limit"]) else math.nan
            fill = "#fff" if math.isnan(share) else _STEPS[min(int(share * 4), 5)]
            text = f"{row['column']}, week of {row['week']:%-d %b}: PSI {row['psi']:.3f}, {row['state']}"
            chart.add_box(line, row["week"], until, text, fill=fill, edge="#e3e6ea")
            if row["state"] in _CROSSED:
                crosses.append((row["week"] + timedelta(days=3.5), line))
        for colour, width in (("#fff", 3), (_ORANGE, 1)) if crosses else ():
            chart.axes.plot(*zip(*crosses, strict=True), "x", color=colour, markeredgewidth=width, zorder=4)

    label = f"Drift of {len(columns)} columns per week"
    svg = draw_timeline(draw, life.axis, _ROW * len(columns) + 0.5, label, _BLUE)
    return _Chart(label, svg, _list_drift(rows, columns))


def _list_drift(rows: Sequence[Row], columns: Sequence[str]) -> Table:
    """PSI by column and week; a star stands where the chart has a cross."""
    weeks = sorted({row["week"] for row in rows})
    psi = {(row["column"], row["week"]): f"{row['psi']:.3f}{' *' if row['state'] in _CROSSED else ''}" for row in rows}
    head = ("PSI", *(f"{week:%-d %b}" for week in weeks))
    return Table(head, [(column, *(psi.get((column, week), "") for week in weeks)) for column in columns])


def _list_verdicts(life: ModelLife) -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    for verdict in sorted(life.verdicts, key=lambda row: -int(row["version"])):
        rules = [("passed" if rule["passed"] else "REFUSED", rule["name"], rule["reason"]) for rule in verdict["rules"]]
        yield f"Version {verdict['version']}: {verdict['verdict']}, trained on days before {verdict['until']}", rules


def _list_decisions(life: ModelLife) -> list[tuple[str, ...]]:
    return [
        (f"{row['as_of']:%-d %b %Y}", row["rule"], "retrain" if row["fired"] else "no", row["reason"])
        for row in life.decisions.sort_values("as_of", ascending=False).to_dict("records")
    ]


def _list_alerts(life: ModelLife) -> list[tuple[str, ...]]:
    return [
        (
            f"{row['rule']} {row['subject']}".strip(),
            f"{row['severity']} to {row['owner']}",
            " to ".join(dict.fromkeys(f"{row[seen]:%-d %b}" for seen in ("first_seen", "last_seen"))),
            "open" if pd.isna(row["resolved"]) else f"resolved {row['resolved']:%-d %b}",
            row["evidence"],
        )
        for row in life.alerts.sort_values("first_seen", ascending=False).to_dict("records")
    ]
