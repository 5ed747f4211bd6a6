"""Draw charts as SVG. This is the only module that imports Matplotlib; every text is escaped.

Each mark of a chart has a text beside it in the SVG. The page's style sheet hides the text until the pointer or the
keyboard reaches the mark. Each chart also returns its figures as a table.
"""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlops.questions import Array
from mlops.questions.figures import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = ("#1b6ca8", "#c8553d", "#7a7a7a")
_POINTS = 40
"""Largest number of points of a curve that get a mark and a row of the table."""
_STOPS = 100
"""Largest number of marks of a chart at which the keyboard stops; the table has the figures of every chart."""
_LETTER = 6.0
"""Width of a letter, points."""
_WIDE, _LEFT, _MOST_LEFT = 9.6, 0.21, 0.45
"""Width of a timeline, inches; share of it that the labels take; largest such share."""


class Table(NamedTuple):
    """The figures of a chart."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


class Plot(NamedTuple):
    """A chart with its figures."""

    svg: str
    table: Table


class TimeAxis(NamedTuple):
    """Time axis that all charts of a page share, so that equal moments stand below each other."""

    start: Any
    end: Any
    """First and last moment, UTC without zone; marks outside are cut off."""
    longest: int = 0
    """Number of letters of the longest row label."""

    @property
    def margin(self) -> float:
        """Share of the width that labels take."""
        return min(max(_LEFT, (self.longest + 2) * _LETTER / (_WIDE * 72)), _MOST_LEFT)

    @property
    def letters(self) -> float:
        """Size of the labels' letters, points: smaller where the longest would not fit."""
        return 10 * min(1.0, _MOST_LEFT * _WIDE * 72 / ((self.longest + 2) * _LETTER))


def quality_plots(curves: Sequence[Curve]) -> dict[str, Plot]:
    """Draw the curves of a kind of question, by name."""
    return {curve.name: _draw_curve(curve) for curve in curves}


def _draw_curve(curve: Curve) -> Plot:
    marks: dict[str, Any] = {
        "line": {},
        "points": {"marker": "o", "markersize": 3},
        "cloud": {"marker": "o", "markersize": 1, "linestyle": "none"},
    }[curve.style]
    shown = [
        (who, float(x[at]), float(y[at]))
        for who, (x, y) in curve.lines.items()
        for at in np.unique(np.linspace(0, len(x) - 1, _POINTS).astype(int))
    ]

    def draw(chart: Chart) -> None:
        axes = chart.axes
        if curve.diagonal:
            ends = [end for x, _ in curve.lines.values() for end in (x.min(), x.max())]
            axes.plot([min(ends), max(ends)], [min(ends), max(ends)], color="#bbb", linewidth=1)
        for (who, (x, y)), colour in zip(curve.lines.items(), _COLOURS, strict=False):
            axes.plot(x, y, color=colour, label=who, **marks)
        for who, right, up in shown:
            chart.add_point(right, up, f"{who}: {curve.x} {right:.4g}, {curve.y} {up:.4g}")

    rows = [(who, f"{x:.4g}", f"{y:.4g}") for who, x, y in shown]
    return Plot(_draw_plot(curve.title, curve.x, curve.y, draw), Table(("model", curve.x, curve.y), rows))


def daily_plot(day: Array, levels: Mapping[str, tuple[str, Array, Array]]) -> Plot:
    """Draw the labels and the predictions per day.

    Args:
        day: datetime64, shape (n_rows,).
        levels: by name of the model: what is drawn, its value for labels and for predictions, each of shape (n_rows,).
    """
    days, index = np.unique(day.astype("datetime64[D]"), return_inverse=True)
    rows = np.bincount(index)
    name, labels, _ = next(iter(levels.values()))
    lines = {"label": np.bincount(index, labels) / rows}
    lines |= {who: np.bincount(index, predicted) / rows for who, (_, _, predicted) in levels.items()}

    def draw(chart: Chart) -> None:
        for (who, values), colour in zip(lines.items(), ("#222", *_COLOURS), strict=False):
            chart.axes.plot(range(len(days)), values, color=colour, linewidth=2 if who == "label" else None, label=who)
            for at, value in enumerate(values):
                chart.add_point(at, value, f"{days[at]}, {who}: {value:.4g}")

    figures = [(str(of), *(f"{line[at]:.4g}" for line in lines.values())) for at, of in enumerate(days)]
    return Plot(_draw_plot("Per day", f"days since {days[0]}", name, draw), Table(("day", *lines), figures))


def importance_plot(values: Mapping[str, float], loss: str) -> Plot:
    """Draw the 20 largest values as bars, largest first; `loss` names what they add."""
    top = sorted(values.items(), key=lambda item: item[1])[-20:]

    def draw(chart: Chart) -> None:
        chart.axes.barh([name for name, _ in top], [value for _, value in top], color=_COLOURS[0])

    svg = _draw_plot("Loss when a feature is shuffled", f"{loss} more", "", draw)
    return Plot(svg, Table(("feature", f"{loss} more"), [(name, f"{value:.4g}") for name, value in reversed(top)]))


class _Box(NamedTuple):
    """A box of a chart, and its text."""

    start: Any
    end: Any
    bottom: float
    top: float
    text: str
    fill: str
    edge: str


@dataclass
class Chart:
    """Axes whose marks have texts, and boxes in labelled rows."""

    axes: Axes
    letters: float = 10.0
    """Size of the labels' letters, points."""
    points: list[tuple[Any, float, str]] = field(default_factory=list)
    boxes: list[_Box] = field(default_factory=list)

    def add_point(self, x: Any, y: float, text: str) -> None:
        """Give a point of a line a text; a figure that is no number has none."""
        if np.isfinite(y):
            self.points.append((x, y, text))

    def label_rows(self, names: Sequence[str], bold: int = 0) -> None:
        """Label one row per name, the first on top; the first `bold` names are in bold."""
        self.axes.set_ylim(len(names) - 0.4, -0.6)
        labels = self.axes.set_yticks(range(len(names)), names, fontsize=self.letters)
        for label in labels[:bold]:
            label.label1.set_fontweight("bold")

    def add_box(self, row: int, start: Any, end: Any, text: str, *, fill: str, edge: str, height: float = 0.8) -> None:
        """Draw a box from one moment to another that stands on the bottom of a row; `height`: share of the row."""
        self.boxes.append(_Box(start, end, row + 0.4, row + 0.4 - height, text, fill, edge))

    def add_bar(self, day: date, height: float, text: str) -> None:
        """Draw a bar that stands on the bottom of the chart, at a day."""
        start = datetime(day.year, day.month, day.day)  # noqa: DTZ001 (as the axis: UTC without zone)
        self.boxes.append(_Box(start, start + timedelta(hours=20), 0, height, text, _COLOURS[0], "none"))

    def draw_marks(self, colour: str) -> None:
        """Draw all points and all boxes as one collection each: a thousand artists take more than a second."""
        if self.points:
            xs, ys = [x for x, _, _ in self.points], [y for _, y, _ in self.points]
            self.axes.scatter(xs, ys, color=colour, gid="points", zorder=3, clip_on=False)
        if self.boxes:
            self.boxes.sort(key=lambda box: box.bottom)  # a text stands above its box, where nothing is drawn later
            self._draw_boxes()

    def _draw_boxes(self) -> None:
        from matplotlib.collections import PolyCollection
        from matplotlib.dates import date2num

        lefts, rights = (
            date2num(np.array(ends, dtype="datetime64[us]"))  # type: ignore[no-untyped-call]
            for ends in ([box.start for box in self.boxes], [box.end for box in self.boxes])
        )
        corners = [
            [(left, box.bottom), (right, box.bottom), (right, box.top), (left, box.top)]
            for left, right, box in zip(lefts, rights, self.boxes, strict=True)
        ]
        # One fill more than boxes: Matplotlib draws a single path of a single colour as a marker, without that colour.
        fills, edges = [*(box.fill for box in self.boxes), "none"], [box.edge for box in self.boxes]
        self.axes.add_collection(PolyCollection(corners, facecolors=fills, edgecolors=edges, gid="boxes", zorder=3))


def draw_timeline(draw: Callable[[Chart], None], axis: TimeAxis, inches: float, label: str, colour: str) -> str:
    """Draw a chart over time as an SVG element.

    Args:
        draw: draws the marks.
        axis: the time axis of the page.
        inches: height.
        label: description of the chart, for screen readers.
        colour: of points.
    """
    from matplotlib.dates import AutoDateLocator, DateFormatter, MonthLocator

    months = axis.end - axis.start > timedelta(days=62)

    def draw_marks(axes: Axes) -> Chart:
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        locator = MonthLocator() if months else AutoDateLocator(minticks=1, maxticks=8)  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(DateFormatter("%b" if months else "%-d %b"))  # type: ignore[no-untyped-call]
        axes.grid(axis="x", color="#e3e6ea")
        axes.figure.subplots_adjust(left=axis.margin, right=0.97, bottom=0.25 / inches, top=1 - 0.25 / inches)
        chart = Chart(axes, axis.letters)
        draw(chart)
        chart.draw_marks(colour)
        axes.set_xlim(axis.start, axis.end)
        return chart

    return _label_svg(_draw_svg(draw_marks, (_WIDE, inches), None), label)


def draw_days(source: str, rows: Mapping[date, int]) -> Plot:
    """Draw the number of rows of each day.

    Args:
        source: name of the source.
        rows: by UTC day, without a gap; at least one.
    """
    days = list(rows)

    def draw(chart: Chart) -> None:
        chart.axes.set(ylim=(0, max(rows.values()) * 1.05), yticks=(max(rows.values()),))
        chart.axes.yaxis.set_major_formatter("{x:,.0f}")
        for day, count in rows.items():
            chart.add_bar(day, count, f"{day}: {count:,} rows")

    axis = TimeAxis(days[0], days[-1] + timedelta(days=1))
    svg = draw_timeline(draw, axis, 1.8, f"Rows per day of {source}", _COLOURS[0])
    return Plot(svg, Table(("day", "rows"), [(str(day), f"{count:,}") for day, count in rows.items()]))


def _draw_plot(title: str, x: str, y: str, draw: Callable[[Chart], None]) -> str:
    def draw_with_names(axes: Axes) -> Chart:
        chart = Chart(axes)
        draw(chart)
        chart.draw_marks("none")
        axes.set(xlabel=x, ylabel=y)
        whole = axes.figure.suptitle(title)  # above the figure: long names leave the axes little of its width
        for text in (whole, axes.xaxis.label, axes.yaxis.label):
            text.set_parse_math(False)  # a class may be named "$5 to $9"
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False)
        return chart

    return _label_svg(_draw_svg(draw_with_names, (5, 4), "constrained"), title)


def _draw_svg(draw: Callable[[Axes], Chart], inches: tuple[float, float], layout: Any) -> str:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    # Text stays text in the SVG, and equal plots are equal files.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "mlops"}):
        figure: Figure = Figure(figsize=inches, layout=layout)
        chart = draw(figure.add_subplot())
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    svg = _explain_marks(out.getvalue(), "points", [text for _, _, text in chart.points], inches[0] * 72)
    return _explain_marks(svg, "boxes", [box.text for box in chart.boxes], inches[0] * 72)


def _label_svg(svg: str, label: str) -> str:
    return svg[svg.index("<svg ") :].replace("<svg ", f'<svg role="group" aria-label="{escape(label)}" ', 1)


def _explain_marks(svg: str, gid: str, texts: Sequence[str], width: float) -> str:
    """Put each text beside its mark: a collection draws its marks in their order, as paths or as uses of one path."""
    remaining = iter(texts)
    stop = ' tabindex="0"' if len(texts) <= _STOPS else ""

    def add_text(mark: re.Match[str]) -> str:
        text = _write_text(next(remaining), *_find_top(mark[0]), width)
        return f'<g class="mark"{stop}>{mark[0]}</g>{text}'

    def add_texts(group: re.Match[str]) -> str:
        defined, end, drawn = group[0].rpartition("</defs>")
        return defined + end + re.sub(r"<(?:use|path) .*?/>", add_text, drawn, flags=re.DOTALL)

    return re.sub(rf'<g id="{gid}">.*?\n   </g>', add_texts, svg, flags=re.DOTALL)


def _find_top(mark: str) -> tuple[float, float]:
    """The middle of a mark's top: of a `use` its own place, of a path from its corners."""
    placed = re.search(r'x="([\d.-]+)" y="([\d.-]+)"', mark)
    if placed:
        return float(placed[1]), float(placed[2])
    numbers = [float(number) for number in re.findall(r"[\d.-]+", mark[: mark.index("z")])]
    xs, ys = numbers[::2], numbers[1::2]
    return (min(xs) + max(xs)) / 2, min(ys)


def _write_text(text: str, x: float, y: float, width: float) -> str:
    """Write a text above a place, in lines that stay within the width of the chart."""
    place = min(max(x / width, 0.0), 1.0)
    anchor = ("start", "middle", "end")[int(place * 2.999)]
    lines = textwrap.wrap(text, int(0.6 * width / _LETTER)) or [""]
    first = max(y - 7 - 12 * (len(lines) - 1), 10.0)
    spans = "".join(
        f'<tspan x="{min(max(x, 0.0), width):.1f}" y="{first + 12 * row:.1f}">{escape(line)}</tspan>'
        for row, line in enumerate(lines)
    )
    return f'<text class="tip" visibility="hidden" text-anchor="{anchor}">{spans}</text>'
