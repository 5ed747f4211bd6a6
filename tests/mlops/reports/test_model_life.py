import math
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import datetime, timedelta
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
from kinds import BINARY
from policies import BY_CARRIER as POLICY

from mlops.reports.model_life import ModelLife, render_page

DAY = timedelta(days=1)
START = datetime(2013, 4, 1)  # noqa: DTZ001 (as tables give them: UTC without zone)
EVIL = '<script>alert("x")</script>'
FIGURES = ("ranking", "loss", "gap", "baseline_ranking", "baseline_loss", "loss_gain")
BOUNDS = tuple(f"{stem}_{end}" for stem in ("ranking", "loss", "gap") for end in ("low", "high"))


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
    return ModelLife("prod.flights.late", "Late?", BINARY, START + 90 * DAY, **{**given, **changed})


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
    assert {link[0] for link in found.links} == {"#"}
    assert "script" not in found.tags
    assert set(re.findall(r"url\((.)", text)) == {"#"}  # of the page itself
    assert "@import" not in text
    assert text.count("&lt;script&gt;") >= 4


def test_every_chart_is_well_formed_says_what_it_shows_and_is_reached_by_the_keyboard():
    text = render_page(life(), POLICY)
    charts = text.split("<svg ")[1:]
    assert len(charts) == 5
    for chart in charts:
        root = ET.fromstring("<svg " + chart.partition("</svg>")[0] + "</svg>")  # noqa: S314 (our own)
        assert root.attrib["aria-label"]
    assert text.count('tabindex="0" role="region"') == 2 * len(charts) + 1  # each chart, its figures, and all alerts
    assert text.count('class="mark" tabindex="0"') == text.count('class="tip"') == 3 * 3 + 3 + 16
    assert "Version 2: refused" in text


def test_what_never_retraining_would_have_cost_is_said():
    assert "Never retrained, the first model would have had 0.710" in render_page(life(), POLICY)
    metrics = life().metrics.assign(loss_gain=0.0)
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
"""The page without its style and its charts. To draw it anew, run `uv run python -c` with:
`"import sys; sys.path[:0]=['tests', 'tests/mlops/reports']; import test_model_life; test_model_life.draw()"`."""


def eventful():
    """A hundred days: three versions, windows with and without bounds, every kind of mark."""

    def row(names, *values):
        return dict(zip(names.split(), values, strict=True))

    def day(number):
        return START + number * DAY

    window = "window_start window_end slice state model_version ranking ranking_low ranking_high baseline_ranking"
    metrics = [
        row(window, day(n), day(n + 28), slice_, state, version, auc, auc - low, auc + high, first)
        | row("loss loss_low loss_high baseline_loss", loss, loss - low, loss + high, loss + 0.02)
        | row("gap gap_low gap_high loss_gain", gap, gap - low, gap + high, 0.02)
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
        BINARY,
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
    text = re.sub(r"<style>.*</style>", "", render_page(eventful(), PAGING), flags=re.DOTALL)
    return re.sub(r"(<svg [^>]*aria-label=[^>]*>).*?</svg>", "<svg>", text, flags=re.DOTALL)


def draw():
    SHOWN.write_text(shown())


def test_the_page_is_the_one_that_was_looked_at():
    assert shown() == SHOWN.read_text()


LEFT, RIGHT = eventful().axis.margin * 9.6 * 72, 0.97 * 9.6 * 72
"""Of the axes in each chart, points."""


def x(days, whole=100):
    return pytest.approx(LEFT + (RIGHT - LEFT) * min(max(days / whole, 0), 1), abs=0.1)


def marks(text, chart):
    """The text of each mark of a chart, with the smallest and largest x and y that it is drawn at."""
    root = ET.fromstring("<svg " + text.split("<svg ")[1 + chart].partition("</svg>")[0] + "</svg>")  # noqa: S314
    space = "{http://www.w3.org/2000/svg}"
    for group in root.iter(f"{space}g"):
        below = list(group)
        for mark, tip in pairwise(below):
            if mark.get("class") == "mark":
                points = [(float(a), float(b)) for path in mark.findall(f"{space}path")
                          for a, b in re.findall(r"[ML] ([\d.]+) ([\d.]+)", path.attrib["d"])]  # fmt: skip
                points += [(float(use.attrib["x"]), float(use.attrib["y"])) for use in mark.iter(f"{space}use")]
                xs, ys = zip(*points, strict=True)
                yield " ".join(tip.itertext()), (min(xs), max(xs)), (min(ys), max(ys))


def words(text, chart):
    return re.findall(r"<text style[^>]*>([^<]*)<", text.split("<svg ")[1 + chart].partition("</svg>")[0])


def test_a_mark_stands_where_its_moment_lies_between_the_first_and_the_last():
    """A hundred days from the first window to the page's own moment."""
    text = render_page(eventful(), PAGING)
    assert [(said, xs) for said, xs, _ in marks(text, 0)] == [
        ("1 Apr to 28 Apr: AUC 0.7000, version 1", (x(14), x(14))),
        ("29 Apr to 26 May: AUC 0.7200, version 2", (x(42), x(42))),
        ("27 May to 23 Jun: AUC 0.7400, version 3", (x(70), x(70))),
    ]
    assert [(said, max(xs[0], LEFT), xs[1]) for said, xs, _ in marks(text, 3)][:3] == [
        ("version 1: deployment, the first", x(0), x(30)),  # from before the page
        ("version 2: deployment, accepted", x(30), x(58)),
        ("version 3: rollback, by ada", x(58), x(100)),
    ]
    assert words(text, 0)[:4] == ["Apr", "May", "Jun", "Jul"]


def test_each_event_and_each_week_is_explained_in_its_row():
    text = render_page(eventful(), PAGING)
    events, weeks = list(marks(text, 3)), list(marks(text, 4))
    alerts = [(said, xs) for said, xs, _ in events[3:7]]
    assert ("page to data engineers: PSI 0.9", (x(10), x(24))) in alerts
    assert ("ticket to ML engineers: 90 days", (x(99), x(100))) in alerts
    heights = [ys[1] - ys[0] for _, _, ys in events[7:]]
    assert heights == pytest.approx([heights[0], heights[0] / 4, heights[0] / 40], rel=0.01)
    assert [said for said, _, _ in events[7:]] == [
        "40 rows as of 21 Apr", "10 rows as of 10 Jun", "1 rows as of 30 Jun",
    ]  # fmt: skip
    assert [name for name in words(text, 4) if name not in {"Apr", "May", "Jun", "Jul"}] == [
        "wind", "a column whose name is far too long", "air", "carrier",
    ]  # fmt: skip
    rows = {said.partition(",")[0]: ys for said, _, ys in weeks}
    assert rows["wind"] < rows["a column whose name is far too long"] < rows["air"] < rows["carrier"]
    assert ("carrier, week of 8 Apr: PSI 0.900, drift", (x(7), x(14))) in [(said, xs) for said, xs, _ in weeks]
    assert len(weeks) == 7


def test_a_table_behind_each_chart_has_its_figures():
    text = render_page(eventful(), PAGING)
    tables = [re.findall(r"<td>([^<]*)</td>", table) for table in text.split('<details class="figures">')[1:]]
    assert tables[0][:6] == ["1 Apr to 28 Apr", "1", "0.7000", "0.6800", "0.7300", "0.7000"]
    assert tables[0][6:12] == ["29 Apr to 26 May", "2", "0.7200", "", "", "0.7100"]
    assert "version 3: rollback, by ada" in tables[3]
    assert tables[4][:8] == ["wind", "0.000", "0.050", "", "a column whose name is far too long", "", "", "0.190 *"]


@pytest.mark.parametrize("letters", [5, 30, 60, 120])
def test_the_longest_name_has_room(letters):
    name = "x" * letters
    drift = life().drift.replace({"column": {"wind": name}})
    page = life(drift=drift)
    assert f">{name}</text>" in render_page(page, POLICY)
    assert len(name) * 0.6 * page.axis.letters <= page.axis.margin * 9.6 * 72


def test_a_text_stays_within_its_chart():
    moves = life().moves.assign(reason="many words " * 40)
    text = render_page(life(moves=moves), POLICY).split("<svg ")[4].partition("</svg>")[0]
    tip = re.findall(r'<tspan x="([\d.]+)" y="([\d.]+)">([^<]*)<', text)
    assert len(tip) > 3
    assert all(0 <= float(x) <= 9.6 * 72 and float(y) > 0 and len(line) < 75 for x, y, line in tip)


def test_higher_is_better_and_the_band_is_drawn():
    text = render_page(eventful(), PAGING)
    heights = [ys[0] for _, _, ys in marks(text, 0)]
    assert heights[0] > heights[1] > heights[2]
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2])
    assert "#eceff2" in text.split("<svg ")[3]
    assert "#eceff2" not in text.split("<svg ")[2]


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
    assert words(text, 0)[0] == "1 Jun"  # the last four weeks begin on 31 May
    assert words(text, 0)[-2:] == ["version", "quarantine"]
    assert 'aria-label="Changes of the champion: 0, alerts: 0, rows in quarantine: 0"' in text


def test_the_mean_over_windows_is_told_and_what_never_retraining_would_have_meant():
    note = re.search(r"<p class=\"note\">([^<]*)<", render_page(eventful(), PAGING))[1]
    assert note == (
        "prod.flights.late, as of 10 July 2013 UTC. Mean over 3 windows: AUC 0.720, log-loss 0.475. "
        "Never retrained, the first model would have had 0.700 and 0.495."
    )
    one = life(windows=1).metrics.assign(baseline_ranking=math.nan)
    assert "Mean over 1 window: AUC 0.700, log-loss 0.700.<" in render_page(life(metrics=one), POLICY)


def test_figures_that_are_all_the_same_have_a_line_too():
    same = life(windows=2).metrics.assign(**dict.fromkeys((*FIGURES, *BOUNDS), 0.7))
    (_, _, first), (_, _, second) = marks(render_page(life(metrics=same), POLICY), 0)
    assert first == second
