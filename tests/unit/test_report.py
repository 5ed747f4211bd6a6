import xml.etree.ElementTree as ET
from datetime import datetime, timedelta
from html.parser import HTMLParser

import pandas as pd
import pytest
from test_alerts import POLICY

from mlops.lifecycle.report import Life, page

DAY = timedelta(days=1)
START = datetime(2013, 4, 1)  # noqa: DTZ001 (as tables give them: UTC without zone)
EVIL = '<script>alert("x")</script>'
FIGURES = ("auc", "log_loss", "calibration_gap", "first_auc", "first_log_loss", "saved")
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
        "verdicts": [{"version": 2, "verdict": "refused", "trained_until": "2013-04-01", "rules": [rule]}],
    }
    return Life("prod.flights.late", "Late?", START + 90 * DAY, **{**given, **changed})


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.links = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in {"href", "src", "xlink:href"}]


def test_the_page_stands_alone_and_nothing_that_came_from_data_is_markup():
    text = page(life(), POLICY)
    found = Page(text)
    assert found.links == []
    assert "script" not in found.tags
    assert "url(" not in text
    assert "@import" not in text
    assert text.count("&lt;script&gt;") >= 4


def test_every_chart_is_well_formed_says_what_it_shows_and_is_reached_by_the_keyboard():
    text = page(life(), POLICY)
    charts = text.split("<svg ")[1:]
    assert len(charts) == 5
    for chart in charts:
        root = ET.fromstring("<svg " + chart.partition("</svg>")[0] + "</svg>")  # noqa: S314 (our own)
        assert root.attrib["aria-label"]
    assert text.count('tabindex="0"') == len(charts) + 1  # and the table of alerts
    assert "Version 2: refused" in text


def test_what_never_retraining_would_have_cost_is_said():
    assert "Never retrained, the first model would have had 0.710" in page(life(), POLICY)
    metrics = life().metrics.assign(saved=0.0)
    assert "Never retrained" not in page(life(metrics=metrics), POLICY)


@pytest.mark.parametrize("name", ["metrics", "drift", "alerts", "decisions", "moves", "quarantine"])
def test_a_model_of_which_little_is_known_has_a_page_too(name):
    whole = getattr(life(), name)
    assert "<h1>Late?</h1>" in page(life(**{name: whole.head(0)}), POLICY)


def test_a_window_without_bounds_is_drawn_without_them():
    metrics = life().metrics.assign(**dict.fromkeys(BOUNDS, float("nan")))
    assert page(life(metrics=metrics), POLICY).count("nan") == 0
