import math
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from policies import BY_CARRIER as POLICY

from mlops.reports.model_life import ModelLife, render_page

DAY = timedelta(days=1)
START = datetime(2013, 4, 1)  # noqa: DTZ001 (as tables give them: UTC without zone)
EVIL = '<script>alert("x")</script>'
FIGURES = ("auc", "log_loss", "calibration_gap", "baseline_auc", "baseline_log_loss", "log_loss_gain")
BOUNDS = tuple(f"{stem}_{end}" for stem in ("auc", "log_loss", "gap") for end in ("low", "high"))


def life(windows=3, **changed):
    metrics = [
        {"window_start": START + 28 * n * DAY, "window_end": START + 28 * (n + 1) * DAY, "slice": "", "state": "judged",
         "model_version": 1 + n, **dict.fromkeys((*FIGURES, *BOUNDS), 0.7 + n / 100)}
        for n in range(windows)
    ]  # fmt: skip
    drift = [
        {"week": START + 7 * n * DAY, "column": column, "slice": "", "psi": 0.1, "limit": 0.05, "state": state}
        for n in range(8)
        for column, state in (("carrier", "drift"), ("wind", "clean"), ("*", "clean"))
    ]
    alert = {"rule": "drift", "subject": EVIL, "severity": "page", "owner": "data engineers", "evidence": EVIL}
    seen = {"first_seen": START + 30 * DAY, "last_seen": START + 58 * DAY, "resolved": pd.NaT}
    rule = {"name": "floor_auc", "passed": False, "reason": EVIL}
    decided = {"as_of": START + 31 * DAY, "rule": "age", "fired": True, "reason": EVIL}
    given = {
        "metrics": pd.DataFrame(metrics, columns=[*metrics[0]] if metrics else ["state", "slice", "window_start"]),
        "drift": pd.DataFrame(drift),
        "alerts": pd.DataFrame([{**alert, **seen}]),
        "decisions": pd.DataFrame([decided]),
        "moves": pd.DataFrame([{"as_of": START, "move": "deployment", "to_version": 1, "reason": EVIL}]),
        "quarantine": pd.DataFrame([{"as_of": START + 10 * DAY, "rows": 7}]),
        "verdicts": [{"version": 2, "verdict": "refused", "until": "2013-04-01", "rules": [rule]}],
    }
    return ModelLife("prod.flights.late", "Late?", START + 90 * DAY, **{**given, **changed})


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.links = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in {"href", "src", "xlink:href"}]


def test_the_page_stands_alone_and_nothing_that_came_from_data_is_markup():
    text = render_page(life(), POLICY)
    found = Page(text)
    assert found.links == []
    assert "script" not in found.tags
    assert "url(" not in text
    assert "@import" not in text
    assert text.count("&lt;script&gt;") >= 4


def test_every_chart_is_well_formed_says_what_it_shows_and_is_reached_by_the_keyboard():
    text = render_page(life(), POLICY)
    charts = text.split("<svg ")[1:]
    assert len(charts) == 5
    for chart in charts:
        root = ET.fromstring("<svg " + chart.partition("</svg>")[0] + "</svg>")  # noqa: S314 (our own)
        assert root.attrib["aria-label"]
    assert text.count('tabindex="0"') == len(charts) + 1  # and the table of alerts
    assert "Version 2: refused" in text


def test_what_never_retraining_would_have_cost_is_said():
    assert "Never retrained, the first model would have had 0.710" in render_page(life(), POLICY)
    metrics = life().metrics.assign(log_loss_gain=0.0)
    assert "Never retrained" not in render_page(life(metrics=metrics), POLICY)


@pytest.mark.parametrize("name", ["metrics", "drift", "alerts", "decisions", "moves", "quarantine"])
def test_a_model_of_which_little_is_known_has_a_page_too(name):
    whole = getattr(life(), name)
    assert "<h1>Late?</h1>" in render_page(life(**{name: whole.head(0)}), POLICY)


def test_an_alert_that_one_run_saw_names_its_day_once():
    once = life().alerts.assign(last_seen=START + 30 * DAY)
    assert f"<td>{START + 30 * DAY:%-d %b}</td>" in render_page(life(alerts=once), POLICY)
    assert f"<td>{START + 30 * DAY:%-d %b} to {START + 58 * DAY:%-d %b}</td>" in render_page(life(), POLICY)


def test_a_window_without_bounds_is_drawn_without_them():
    metrics = life().metrics.assign(**dict.fromkeys(BOUNDS, float("nan")))
    assert render_page(life(metrics=metrics), POLICY).count("nan") == 0


# --- the whole page, and where its marks stand ------------------------------------------------------------------------

PAGING = replace(POLICY, paging=("wind",))
SHOWN = Path(__file__).with_name("life.html")
"""The page without its style, one element a line. To draw it anew, run `uv run python -c` with:
`"import sys; sys.path[:0]=['tests', 'tests/mlops/reports']; import test_model_life; test_model_life.draw()"`."""


def eventful():
    """A hundred days: three versions, windows with and without bounds, every kind of mark."""

    def row(names, *values):
        return dict(zip(names.split(), values, strict=True))

    def day(number):
        return START + number * DAY

    window = "window_start window_end slice state model_version auc auc_low auc_high baseline_auc"
    metrics = [
        row(window, day(n), day(n + 28), slice_, state, version, auc, auc - low, auc + high, first)
        | row("log_loss log_loss_low log_loss_high baseline_log_loss", loss, loss - low, loss + high, loss + 0.02)
        | row("calibration_gap gap_low gap_high log_loss_gain", gap, gap - low, gap + high, 0.02)
        for n, slice_, state, version, auc, low, high, first, loss, gap in (
            (56, "", "judged", 3, 0.74, 0.015, 0.01, 0.69, 0.45, 0.01),
            (0, "", "judged", 1, 0.7, 0.02, 0.03, 0.7, 0.5, -0.02),
            (28, "", "judged", 2, 0.72, math.nan, math.nan, 0.71, 0.475, 0.0675),
            (28, "carrier=UA", "judged", 2, 0.1, 0.1, 0.1, 0.1, 9.0, 0.9),
            (84, "", "hold", 3, 0.2, 0.1, 0.1, 0.2, 8.0, 0.8),
        )
    ]
    drift = [
        row("week column slice psi limit state", day(n), column, slice_, psi, limit, state)
        for n, column, slice_, psi, limit, state in (
            (7, "wind", "", 0.05, 0.2, "clean"),
            (0, "wind", "", 0.0, 0.2, "clean"),
            (0, "carrier", "", 0.11, 0.2, "clean"),
            (7, "carrier", "", 0.9, 0.2, "drift"),
            (77, "a column whose name is far too long", "", 0.19, 0.2, "missing"),
            (0, "air", "", 0.3, math.nan, "hold"),
            (7, "air", "", 0.3, 0.0, "hold"),
            (0, "*", "", 0.0, 5000.0, "rows"),
            (0, "wind", "origin=JFK", 0.7, math.nan, "hold"),
        )
    ]
    alert = "rule subject severity owner evidence first_seen last_seen resolved"
    alerts = [
        row(alert, "drift", "carrier", "page", "data engineers", "PSI 0.9", day(10), day(24), day(31)),
        row(alert, "drift", "carrier", "page", "data engineers", "PSI 0.8", day(60), day(61), pd.NaT),
        row(alert, "age", "", "ticket", "ML engineers", "90 days", day(99), day(100), pd.NaT),
        row(alert, "slice", "carrier=a very long name", "page", "data scientists", "off", day(40), day(50), pd.NaT),
    ]
    decision = "as_of rule fired reason"
    move = "as_of move to_version reason"
    rule = "name passed reason"
    return ModelLife(
        "prod.flights.late",
        "Late?",
        day(100),
        metrics=pd.DataFrame(metrics),
        drift=pd.DataFrame(drift),
        alerts=pd.DataFrame(alerts),
        decisions=pd.DataFrame(
            [row(decision, day(28), "age", False, "young"), row(decision, day(56), "calibration_gap", True, "a gap")]
        ),
        moves=pd.DataFrame(
            [
                row(move, day(-9), "deployment", 1, "the first"),
                row(move, day(30), "deployment", 2, "accepted"),
                row(move, day(58), "rollback", 3, "by ada"),
            ]
        ),
        quarantine=pd.DataFrame([row("as_of rows", day(n), rows) for n, rows in ((20, 40), (70, 10), (90, 1))]),
        verdicts=[
            row("version verdict until rules", "9", "accepted", "2013-03-01",
                [row(rule, "floor_auc", True, "0.7 of 0.6"), row(rule, "margin", True, "better")]),
            row("version verdict until rules", "10", "refused", "2013-05-01",
                [row(rule, "floor_auc", False, "0.5 of 0.6")]),
        ],
    )  # fmt: skip


def shown():
    return re.sub(r"<style>.*</style>", "", render_page(eventful(), PAGING), flags=re.DOTALL).replace("><", ">\n<")


def draw():
    SHOWN.write_text(shown())


def test_the_page_is_the_one_that_was_looked_at():
    assert shown() == SHOWN.read_text()


def marks(text, chart, tag):
    """Attributes of a chart's marks of one kind, each with what it says."""
    root = ET.fromstring("<svg " + text.split("<svg ")[1 + chart].partition("</svg>")[0] + "</svg>")  # noqa: S314
    return [(mark.attrib, mark.findtext("title") or mark.text or "") for mark in root.iter(tag)]


def test_a_mark_stands_where_its_moment_lies_between_the_first_and_the_last():
    """200 to 930: a hundred days from the first window to the page's own moment."""
    text = render_page(eventful(), PAGING)
    circles = [(float(a["cx"]), said) for a, said in marks(text, 0, "circle")]
    assert circles == [
        (pytest.approx(200 + 7.3 * 14, abs=0.1), "1 Apr to 28 Apr: AUC 0.7000, version 1"),
        (pytest.approx(200 + 7.3 * 42, abs=0.1), "29 Apr to 26 May: AUC 0.7200, version 2"),
        (pytest.approx(200 + 7.3 * 70, abs=0.1), "27 May to 23 Jun: AUC 0.7400, version 3"),
    ]
    served = [(float(a["x"]), float(a["width"]), said) for a, said in marks(text, 3, "rect")][:3]
    assert served == [
        (200, pytest.approx(7.3 * 30, abs=0.1), "version 1: deployment, the first"),  # before the page: from its left
        (pytest.approx(200 + 7.3 * 30, abs=0.1), pytest.approx(7.3 * 28, abs=0.1), "version 2: deployment, accepted"),
        (pytest.approx(200 + 7.3 * 58, abs=0.1), pytest.approx(7.3 * 42, abs=0.1), "version 3: rollback, by ada"),
    ]
    assert [said for _, said in marks(text, 0, "text")][:3] == ["Apr", "May", "Jun"]


def test_higher_is_better_and_the_ends_of_the_scale_are_what_was_seen():
    text = render_page(eventful(), PAGING)
    heights = [float(a["cy"]) for a, _ in marks(text, 0, "circle")]
    low, high = 156.0, 12.0  # of the lowest bound, 0.68, and the highest, 0.75
    assert heights == pytest.approx([low + (high - low) * (auc - 0.68) / 0.07 for auc in (0.7, 0.72, 0.74)], abs=0.1)
    assert [said for _, said in marks(text, 0, "text")][-2:] == ["0.680", "0.750"]
    (band, _), *_ = [each for each in marks(text, 2, "rect") if each[0]["fill"] == "#eceff2"]
    scale = (low - high) / (0.0675 + 0.04)
    assert float(band["height"]) == pytest.approx(0.06 * scale, abs=0.1)


def test_what_has_not_happened_yet_is_said():
    life_ = life()
    nothing = {name: getattr(life_, name).head(0) for name in ("metrics", "drift", "alerts", "decisions", "moves")}
    nothing |= {"verdicts": [], "quarantine": life_.quarantine.head(0)}
    text = render_page(replace(life(**nothing), as_of=START + 88 * DAY), POLICY)
    assert re.findall(r"<p[^>]*>([^<]*yet\.|Nothing[^<]*)<", text) == [
        "prod.flights.late, as of 28 June 2013 UTC. No window of matured labels has been judged yet.",
        "AUC: nothing has been judged yet.",
        "log-loss: nothing has been judged yet.",
        "calibration gap: nothing has been judged yet.",
        "No week has been compared yet.",
        "Nothing has fired.",
    ]
    assert re.findall(r"<dd>([^<]*)<", text) == ["nothing", "on hold", "on hold", "0 times", "0 alerts"]
    assert [said for _, said in marks(text, 0, "text")] == ["Jun", "version", "quarantine"]
    ((first_of_june, _),) = marks(text, 0, "line")  # the last four weeks begin on 31 May
    assert float(first_of_june["x1"]) == pytest.approx(200 + 730 / 28, abs=0.1)
    assert 'aria-label="0 versions served, 0 alerts, 0 rows in quarantine"' in text


def test_the_mean_over_windows_is_told_and_what_never_retraining_would_have_meant():
    note = re.search(r"<p class=note>([^<]*)<", render_page(eventful(), PAGING))[1]
    assert note == (
        "prod.flights.late, as of 10 July 2013 UTC. Mean over 3 windows: AUC 0.720, log-loss 0.475. "
        "Never retrained, the first model would have had 0.700 and 0.495."
    )
    one = life(windows=1).metrics.assign(baseline_auc=math.nan)
    assert "Mean over 1 window: AUC 0.700, log-loss 0.700.<" in render_page(life(metrics=one), POLICY)


def test_figures_that_are_all_the_same_have_a_line_too():
    same = life(windows=2).metrics.assign(**dict.fromkeys((*FIGURES, *BOUNDS), 0.7))
    assert [float(a["cy"]) for a, _ in marks(render_page(life(metrics=same), POLICY), 0, "circle")] == [12, 12]
