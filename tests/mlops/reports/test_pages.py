import re
from dataclasses import replace
from datetime import date, timedelta
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from kinds import BINARY

from mlops.contract import Rule
from mlops.reports import charts, pages

Y = np.arange(300) % 2
ANSWERS = {"challenger": np.linspace(0.1, 0.9, 300), "<b>": np.full(300, 0.4)}
SVG = "{http://www.w3.org/2000/svg}"
DAY = np.datetime64("2013-06-01") + np.arange(300) % 7


def texts(plot):
    root = ET.fromstring(plot.svg)  # noqa: S314 (our own)
    return {"".join(node.itertext()).strip() for node in root.iter("{http://www.w3.org/2000/svg}text")}


def draw_all():
    levels = {who: BINARY.daily_level(Y, p) for who, p in ANSWERS.items()}
    return {**charts.quality_plots(BINARY.draw_curves(Y, ANSWERS)), "daily": charts.daily_plot(DAY, levels)}


def test_plots_are_svg_with_readable_words_and_the_same_for_the_same_figures():
    plots = draw_all()
    assert {"Calibration", "challenger", "<b>"} <= texts(plots["calibration"])
    assert {"Precision over recall", "recall", "<b>"} <= texts(plots["precision_recall"])
    assert {"days since 2013-06-01", "label"} <= texts(plots["daily"])
    assert plots == draw_all()


def test_importances_show_the_twenty_greatest():
    words = texts(charts.importance_plot({f"feature_{n}": n / 10 for n in range(30)}, "log-loss"))
    assert {"feature_10", "feature_29"} <= words
    assert "feature_9" not in words


def test_a_page_shows_every_rule_and_whatever_it_is_given_is_text():
    rules = [
        Rule("floor", passed=True, value=0.75, limit=0.7, reason="fine"),
        Rule("slice", passed=False, value=None, limit=None, reason="in <script>alert(1)</script> & co"),
    ]
    page = pages.render_verdict(
        title="a.b.<i>c</i> version 1", summary="On \"all\" days", accepted=False, rules=rules,
        metrics={"challenger": {"auc": 0.75}, "champion": {"auc": 0.5}},
        plots={"<x>": charts.Plot("<svg/>", charts.Table(("<h>",), [("<c>",)]))},
    )  # fmt: skip
    assert "<script>" not in page
    assert "in &lt;script&gt;alert(1)&lt;/script&gt; &amp; co" in page
    assert "a.b.&lt;i&gt;c&lt;/i&gt; version 1" in page
    assert page.count("REFUSED") == 1
    assert re.search(
        r"floor</td>\s*<td class=\"yes\">passed</td>\s*<td class=\"n\">0.75</td><td class=\"n\">0.7</td>", page
    )
    assert "<svg/>" in page
    assert "&lt;x&gt;" in page
    assert "<td>&lt;c&gt;</td>" in page
    assert re.findall(r"(?:src|href)=\"([^\"]*)", page) == []


def test_each_point_that_is_shown_has_a_text_and_a_row():
    for name, plot in draw_all().items():
        assert plot.svg.count('class="tip"') == plot.svg.count('class="mark"')
        shown = len(plot.table.rows) * (len(plot.table.head) - 1 if name == "daily" else 1)
        assert plot.svg.count('class="tip"') == shown


def test_a_page_without_answers_has_rules_only():
    page = pages.render_verdict(title="t", summary="", accepted=True, rules=[], metrics={}, plots={})
    assert "accepted" in page
    assert "On the same rows" not in page


@pytest.mark.parametrize("days", [1, 7, 70])
def test_rows_per_day_are_bars_that_say_their_day(days):
    rows = {date(2013, 1, 1) + timedelta(days=n): 10 * n + 1 for n in range(days)}
    plot = charts.draw_days("sky & <sea>", rows)
    svg = ET.fromstring(plot.svg)  # noqa: S314 (our own)
    tips = [" ".join(tip.itertext()) for tip in svg.iter(f"{SVG}text") if tip.get("class") == "tip"]
    assert tips == [f"{day}: {count:,} rows" for day, count in rows.items()]
    bars = [group for group in svg.iter(f"{SVG}g") if group.get("class") == "mark"]
    assert len(bars) == len(plot.table.rows) == days
    assert all("fill: #1b6ca8" in bar.find(f"{SVG}path").get("style") for bar in bars)
    assert svg.get("aria-label") == "Rows per day of sky & <sea>"


def test_a_class_with_signs_of_mathematics_stands_in_its_plot_as_it_is():
    curve = BINARY.draw_curves(Y, ANSWERS)[0]
    plot = charts.quality_plots([replace(curve, title="Calibration of $5_0 to $9")])[curve.name]
    assert "Calibration of $5_0 to $9" in plot.svg
