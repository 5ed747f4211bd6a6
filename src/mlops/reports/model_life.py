"""One page on a model's life, for whoever owns the product: opens from disk and asks nothing of the network.

Charts share one time axis; each says in words what it shows; marks differ by form and not by colour alone.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pandas as pd

from mlops.contract import Policy

_WIDTH, _LEFT, _RIGHT = 960.0, 200.0, 30.0
_PLOT = _WIDTH - _LEFT - _RIGHT
_BLUE, _ORANGE, _GREY, _RULE = "#0b5cad", "#b65c00", "#6b7178", "#e3e6ea"
_STEPS = ("#f4f6f8", "#d6e4f2", "#a9c8e6", "#6ea3d4", "#2f78b9", "#0b4a86")
"""From no drift to what is allowed and beyond, a quarter of the limit each."""
_STYLE = """
*{box-sizing:border-box}
body{font:16px/1.5 system-ui,sans-serif;color:#1b1f24;background:#fff;margin:0 auto;max-width:1000px;padding:1.2rem}
h1{font-size:1.5rem;line-height:1.25;margin:0 0 .3rem}h2{font-size:1.12rem;margin:2rem 0 .3rem}
p{margin:.3rem 0 .7rem;max-width:46rem}.note{color:#4b5158}
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(10.5rem,1fr));gap:.6rem;margin:1rem 0}
dl div{border:1px solid #d5d9de;border-radius:6px;padding:.5rem .7rem}dt{font-size:.82rem;color:#4b5158}
dd{margin:0;font-size:1.3rem;font-weight:600}
.scroll{overflow-x:auto}svg{display:block;width:100%;min-width:680px}text{font:12px system-ui,sans-serif;fill:#1b1f24}
table{border-collapse:collapse;width:100%;font-size:.88rem}
th,td{text-align:left;padding:.3rem .5rem;vertical-align:top;border-bottom:1px solid #e3e6ea}th{white-space:nowrap}
details{border-bottom:1px solid #e3e6ea;padding:.4rem 0}summary{cursor:pointer}
:focus-visible{outline:3px solid #0b5cad;outline-offset:2px}
@media print{body{max-width:none;padding:0;font-size:11px}
h2,h2+p,summary{break-after:avoid}svg,tr,dl{break-inside:avoid}
details::details-content{content-visibility:visible}svg{min-width:0}.scroll{overflow:visible}}
"""


_SAID = (
    (
        "How well it ranks",
        """AUC of each window; 0.5 is a coin. The bars are 95 % intervals over days. Dashed line with squares: the first
        model, had it never been retrained.""",
    ),
    (
        "How far its probabilities can be trusted",
        """Log-loss, lower is better, and the calibration gap: mean prediction minus what came. Outside the grey band
        retraining is due.""",
    ),
    (
        "Which version served, and what happened",
        """Each alert from the first to the last run that saw it; a hollow one is open. Below, rows set aside in
        quarantine.""",
    ),
    (
        "Which columns moved",
        """Each week against the weeks before it; the darker, the further off. A cross: more than the column's clean
        weeks allow, or many missing values. Only the columns in bold call somebody; the others explain.""",
    ),
    ("Why versions came and went", "Each judgement of the gate and each decision on retraining, with its reasons."),
)


@dataclass(frozen=True)
class ModelLife:
    """All that is known of one model; frames as their tables hold them, times UTC without zone."""

    model: str
    question: str
    as_of: datetime
    metrics: pd.DataFrame
    decisions: pd.DataFrame
    alerts: pd.DataFrame
    drift: pd.DataFrame
    moves: pd.DataFrame
    """Of the champion: as_of, move, to_version, reason; oldest first."""
    quarantine: pd.DataFrame
    """as_of, rows."""
    verdicts: Sequence[Mapping[str, Any]]
    """One per judged version: version, verdict, trained_until, rules (name, passed, reason)."""

    @property
    def result_windows(self) -> list[dict[Any, Any]]:
        """The judged windows, all rows, oldest first."""
        rows = self.metrics[(self.metrics["state"] == "judged") & (self.metrics["slice"] == "")]
        return rows.sort_values("window_start").to_dict("records")

    @property
    def weeks(self) -> list[dict[Any, Any]]:
        """Drift of every column, all rows, oldest week first."""
        rows = self.drift[(self.drift["slice"] == "") & (self.drift["column"] != "*")]
        return rows.sort_values(["week", "column"]).to_dict("records")


@dataclass(frozen=True)
class _Axis:
    """The common axis of time, which is at least four weeks long."""

    start: pd.Timestamp
    end: pd.Timestamp

    def x(self, moment: Any) -> float:
        share = (pd.Timestamp(moment) - self.start) / (self.end - self.start)
        return _LEFT + min(max(float(share), 0.0), 1.0) * _PLOT

    def months(self, height: float) -> str:
        marks = ""
        for month in pd.date_range(self.start.normalize(), self.end, freq="MS"):
            x = self.x(month)
            marks += _svg_element("line", x1=x, x2=x, y1=0, y2=height - 18, stroke=_RULE) + _svg_text(
                x + 3, height - 4, f"{month:%b}"
            )
        return marks


def render_page(life: ModelLife, policy: Policy) -> str:
    """The page as HTML, UTF-8."""
    known = [row["window_start"] for row in life.result_windows] + [row["week"] for row in life.weeks]
    axis = _Axis(min([*known, pd.Timestamp(life.as_of) - timedelta(days=28)]), pd.Timestamp(life.as_of))
    auc = _draw_series(axis, life.result_windows, ("auc", "auc", "baseline_auc"), "AUC")
    loss = _draw_series(axis, life.result_windows, ("log_loss", "log_loss", "baseline_log_loss"), "log-loss")
    gap = _draw_series(axis, life.result_windows, ("calibration_gap", "gap", ""), "calibration gap", policy.retrain_gap)
    sections = [
        (*_SAID[0], auc),
        (*_SAID[1], loss + gap),
        (*_SAID[2], _draw_events(axis, life)),
        (*_SAID[3], _draw_heat_map(axis, life, policy)),
        (*_SAID[4], "".join(_render_verdicts(life)) + _render_decisions(life)),
        ("Alerts", "Newest first.", _render_alerts(life)),
    ]
    body = _render_head(life) + "".join(
        f"<section><h2>{_escape_html(h)}</h2><p>{_escape_html(p)}</p>{b}</section>" for h, p, b in sections
    )
    title = f"<title>{_escape_html(life.question)}</title>"
    head = f'<meta name="viewport" content="width=device-width,initial-scale=1">{title}'
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{head}<style>{_STYLE}</style></head>'
        f"<body><main>{body}</main></body></html>"
    )


def _render_head(life: ModelLife) -> str:
    judged, moves = life.result_windows, life.moves.to_dict("records")
    pages = int(((life.alerts["severity"] == "page") & life.alerts["resolved"].isna()).sum())
    facts = {
        "serves now": f"version {moves[-1]['to_version']:.0f}" if moves else "nothing",
        "AUC, newest window": f"{judged[-1]['auc']:.3f}" if judged else "on hold",
        "calibration gap, newest": f"{judged[-1]['calibration_gap']:+.3f}" if judged else "on hold",
        "champion changed": f"{max(len(moves) - 1, 0)} times",
        "to look at today": f"{pages} alert{'' if pages == 1 else 's'}",
    }
    cells = "".join(f"<div><dt>{name}</dt><dd>{_escape_html(value)}</dd></div>" for name, value in facts.items())
    note = f"{life.model}, as of {life.as_of:%-d %B %Y} UTC. {_summarise_windows(judged)}"
    return f"<h1>{_escape_html(life.question)}</h1><p class=note>{_escape_html(note)}</p><dl>{cells}</dl>"


def _summarise_windows(judged: Sequence[Mapping[Any, Any]]) -> str:
    if not judged:
        return "No window of matured labels has been judged yet."
    auc, loss, baseline_auc, baseline_loss, gain = (
        sum(row[name] for row in judged) / len(judged)
        for name in ("auc", "log_loss", "baseline_auc", "baseline_log_loss", "log_loss_gain")
    )
    said = f"Mean over {len(judged)} window{'' if len(judged) == 1 else 's'}: AUC {auc:.3f}, log-loss {loss:.3f}"
    if math.isnan(baseline_auc) or not gain:
        return f"{said}."
    return f"{said}. Never retrained, the first model would have had {baseline_auc:.3f} and {baseline_loss:.3f}."


def _draw_series(
    axis: _Axis, rows: Sequence[Mapping[Any, Any]], names: tuple[str, str, str], title: str, band: float = 0.0
) -> str:
    """A figure per window with its interval, and another model's; `names`: column, stem of bounds, the other's."""
    if not rows:
        return f"<p class=note>{title}: nothing has been judged yet.</p>"
    column, stem, other = names
    low, high = f"{stem}_low", f"{stem}_high"
    values = [float(row[name]) for row in rows for name in (column, low, high, other) if name]
    ends = [value for value in (*values, *([band, -band] if band else [])) if math.isfinite(value)]
    bottom, top, height = min(ends), max(ends), 190.0

    def y(value: float) -> float:
        return 12 + (top - value) / (top - bottom or 1) * (height - 46)

    xs = [axis.x(row["window_start"] + (row["window_end"] - row["window_start"]) / 2) for row in rows]
    body = axis.months(height) + _svg_text(4, 16, title, font_weight=600)
    if band:
        body += _svg_element("rect", x=_LEFT, y=y(band), width=_PLOT, height=y(-band) - y(band), fill="#eceff2")
    body += "".join(_svg_text(_LEFT - 8, y(tick) + 4, f"{tick:.3f}", text_anchor="end") for tick in (bottom, top))
    if other:
        squares = [(x, y(row[other])) for x, row in zip(xs, rows, strict=True) if math.isfinite(row[other])]
        body += _svg_line(squares, _ORANGE, stroke_dasharray="5 4")
        body += "".join(_svg_element("rect", x=x - 3.5, y=v - 3.5, width=7, height=7, fill=_ORANGE) for x, v in squares)
    body += _svg_line([(x, y(row[column])) for x, row in zip(xs, rows, strict=True)], _BLUE)
    for x, row in zip(xs, rows, strict=True):
        if math.isfinite(row[low]):
            body += _svg_element(
                "line", x1=x, x2=x, y1=y(row[low]), y2=y(row[high]), stroke=_BLUE, stroke_width=2, opacity=0.5
            )
        days = f"{row['window_start']:%-d %b} to {row['window_end'] - timedelta(days=1):%-d %b}"
        said = f"{days}: {title} {row[column]:.4f}, version {row['model_version']:.0f}"
        body += _svg_element("circle", said, cx=x, cy=y(row[column]), r=4.5, fill=_BLUE)
    return _svg_image(
        height, f"{title} per window, {rows[0][column]:.3f} at first, {rows[-1][column]:.3f} at last", body
    )


def _draw_events(axis: _Axis, life: ModelLife) -> str:
    moves, y = life.moves.to_dict("records"), 8.0
    body = _svg_text(4, y + 15, "version", font_weight=600)
    for number, move in enumerate(moves):
        until = moves[number + 1]["as_of"] if number + 1 < len(moves) else axis.end
        x, said = axis.x(move["as_of"]), f"version {move['to_version']:.0f}: {move['move']}, {move['reason']}"
        size = {"x": x, "y": y, "width": max(axis.x(until) - x, 1), "height": 22}
        body += _svg_element("rect", said, **size, fill=_STEPS[1 + number % 2], stroke=_BLUE)
        body += _svg_text(x + 4, y + 15, f"{move['to_version']:.0f}")
    y += 34
    for (rule, subject), group in life.alerts.groupby(["rule", "subject"]):
        body += _svg_text(4, y + 11, f"{rule} {subject}".strip()[:24])
        body += "".join(_draw_alert(axis, y, alert) for alert in group.to_dict("records"))
        y += 20
    aside = {row["as_of"]: int(row["rows"]) for row in life.quarantine.to_dict("records")}
    body += _svg_text(4, y + 30, "quarantine")
    for moment, number in aside.items():
        tall = max(30 * number / max(aside.values()), 1.5)
        said = f"{number} rows as of {moment:%-d %b}"
        body += _svg_element("rect", said, x=axis.x(moment) - 4, y=y + 36 - tall, width=8, height=tall, fill=_GREY)
    total = sum(aside.values())
    label = f"{len(moves)} versions served, {len(life.alerts)} alerts, {total} rows in quarantine"
    return _svg_image(y + 60, label, axis.months(y + 60) + body)


def _draw_alert(axis: _Axis, y: float, alert: Mapping[Any, Any]) -> str:
    first = axis.x(alert["first_seen"])
    width = max(axis.x(alert["last_seen"]) - first, 9)
    said = f"{alert['severity']} to {alert['owner']}: {alert['evidence']}"
    fill = "#fff" if pd.isna(alert["resolved"]) else _ORANGE
    place = {"x": min(first, _WIDTH - _RIGHT - width), "y": y, "width": width, "height": 13, "rx": 3}
    return _svg_element("rect", said, **place, fill=fill, stroke=_ORANGE, stroke_width=2)


def _draw_heat_map(axis: _Axis, life: ModelLife, policy: Policy) -> str:
    rows = life.weeks
    if not rows:
        return "<p class=note>No week has been compared yet.</p>"
    columns = sorted({row["column"] for row in rows}, key=lambda name: (name not in policy.paging, name))
    width, size = _PLOT * timedelta(days=7) / (axis.end - axis.start), 15.0
    body = ""
    for number, column in enumerate(columns):
        weight = {"font_weight": 700} if column in policy.paging else {}
        body += _svg_text(4, number * size + 12, column[:30], **weight)
    for row in rows:
        x, y = axis.x(row["week"]), columns.index(row["column"]) * size
        ratio = row["psi"] / row["limit"] if row["limit"] and math.isfinite(row["limit"]) else math.nan
        fill = "#fff" if math.isnan(ratio) else _STEPS[min(int(ratio * 4), 5)]
        said = f"{row['column']}, week of {row['week']:%-d %b}: PSI {row['psi']:.3f}, {row['state']}"
        body += _svg_element("rect", said, x=x, y=y, width=max(width - 1, 1), height=size - 1, fill=fill, stroke=_RULE)
        if row["state"] in {"drift", "missing"}:
            right, low = x + width - 4, y + size - 4
            cross = f"M{x + 3:.1f} {y + 3:.1f}L{right:.1f} {low:.1f}M{right:.1f} {y + 3:.1f}L{x + 3:.1f} {low:.1f}"
            body += _svg_element("path", d=cross, stroke="#fff", stroke_width=3) + _svg_element(
                "path", d=cross, stroke=_ORANGE
            )
    height = len(columns) * size + 22
    return _svg_image(height, f"Drift of {len(columns)} columns per week", axis.months(height) + body)


def _render_verdicts(life: ModelLife) -> Iterator[str]:
    for verdict in sorted(life.verdicts, key=lambda each: -int(each["version"])):
        rules = [("passed" if rule["passed"] else "REFUSED", rule["name"], rule["reason"]) for rule in verdict["rules"]]
        head = f"Version {verdict['version']}: {verdict['verdict']}, trained on days before {verdict['until']}"
        yield f"<details><summary>{_escape_html(head)}</summary>{_html_table(('', 'rule', 'reason'), rules)}</details>"


def _render_decisions(life: ModelLife) -> str:
    rows = [
        (f"{row['as_of']:%-d %b %Y}", row["rule"], "retrain" if row["fired"] else "no", row["reason"])
        for row in life.decisions.sort_values("as_of", ascending=False).to_dict("records")
    ]
    table = _html_table(("as of", "rule", "decision", "why"), rows)
    return f"<details><summary>{len(rows)} rules of decisions on retraining, newest first</summary>{table}</details>"


def _render_alerts(life: ModelLife) -> str:
    if life.alerts.empty:
        return "<p>Nothing has fired.</p>"
    rows = [
        (
            f"{row['rule']} {row['subject']}".strip(),
            f"{row['severity']} to {row['owner']}",
            " to ".join(dict.fromkeys(f"{row[seen]:%-d %b}" for seen in ("first_seen", "last_seen"))),
            "open" if pd.isna(row["resolved"]) else f"resolved {row['resolved']:%-d %b}",
            row["evidence"],
        )
        for row in life.alerts.sort_values("first_seen", ascending=False).to_dict("records")
    ]
    return _scroll_box("Alerts", _html_table(("what", "who", "seen", "state", "evidence"), rows))


# --- marks ------------------------------------------------------------------------------------------------------------


def _escape_html(value: Any) -> str:
    return html.escape(str(value))


def _svg_element(tag: str, said: str = "", **attributes: Any) -> str:
    """An SVG element; `said` is read out and shown by the pointer."""
    inside = f"<title>{_escape_html(said)}</title>" if said else ""
    return f"<{tag}{_svg_attributes(attributes)}>{inside}</{tag}>"


def _svg_text(x: float, y: float, text: str, **attributes: Any) -> str:
    return f"<text{_svg_attributes({'x': x, 'y': y, **attributes})}>{_escape_html(text)}</text>"


def _svg_line(points: Sequence[tuple[float, float]], colour: str, **attributes: Any) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return _svg_element("polyline", points=path, fill="none", stroke=colour, stroke_width=2, **attributes)


def _svg_attributes(given: Mapping[str, Any]) -> str:
    said = ((name, f"{value:.4g}" if isinstance(value, float) else value) for name, value in given.items())
    return "".join(f' {name.replace("_", "-")}="{_escape_html(value)}"' for name, value in said)


def _svg_image(height: float, label: str, body: str) -> str:
    box = f'viewBox="0 0 {_WIDTH:.0f} {height:.0f}" role="img" aria-label="{_escape_html(label)}"'
    return _scroll_box(label, f"<svg {box}>{body}</svg>")


def _scroll_box(label: str, body: str) -> str:
    """Narrow screens move it sideways; the keyboard reaches it."""
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{_escape_html(label)}">{body}</div>'


def _html_table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    names = "".join(f'<th scope="col">{_escape_html(name)}</th>' for name in head)
    body = "".join("<tr>" + "".join(f"<td>{_escape_html(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{names}</tr></thead><tbody>{body}</tbody></table>"
