"""Render plots and pages. This is the only module that imports Matplotlib and Jinja; every text is escaped."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from html import escape
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlops.questions.base import Array, Curve

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = ("#1b6ca8", "#c8553d", "#7a7a7a")
_EXAMPLES = 5


def render_verdict(
    *,
    title: str,
    summary: str,
    accepted: bool,
    rules: Sequence[Any],
    metrics: Mapping[str, Mapping[str, float]],
    plots: Mapping[str, str],
) -> str:
    """Render a verdict as one HTML file without external files.

    Args:
        title: the version that was validated.
        summary: the data that it was validated on, in a sentence.
        accepted: whether the version is accepted.
        rules: `mlops.contract.Rule`s, in the order of the page.
        metrics: figures by model (challenger, champion) and name; the same names for both.
        plots: SVG by name.
    """
    images = {
        name: "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode() for name, svg in plots.items()
    }
    names = list(next(iter(metrics.values()), {}))
    return render_template(
        "verdict.html", title=title, summary=summary, accepted=accepted, rules=rules, metrics=metrics, names=names,
        plots=images, figure=_format_figure,
    )  # fmt: skip


def render_batch(title: str, subtitle: str, results: Sequence[Any], problems: Sequence[str]) -> str:
    """Render the result of ingesting one batch as one HTML file without external files.

    (Rejected: Great Expectations' own pages, which load scripts from elsewhere and fail on numpy 2.)

    Args:
        title: heading.
        subtitle: moment and job run of the ingestion.
        results: one `mlops.data.quarantine.BatchResult` per source.
        problems: why the batch was blocked; empty: it was published.
    """
    charts = {result.source.name: draw_days(result.source.name, result.per_day) for result in results if result.per_day}
    return render_template(
        "batch.html", title=title, subtitle=subtitle, results=results, problems=problems, charts=charts,
        examples=_first_examples,
    )  # fmt: skip


def _first_examples(result: Any, rule: str) -> list[Any]:
    return list(islice((row for row in result.broken if row.rule == rule), _EXAMPLES))


def render_template(template: str, **values: Any) -> str:
    """Render a template of this folder; every text is escaped but for SVG that this module drew."""
    import jinja2

    loader = jinja2.PackageLoader("mlops", "reports")
    pages = jinja2.Environment(autoescape=True, loader=loader, trim_blocks=True, undefined=jinja2.StrictUndefined)
    return pages.get_template(template).render(**values)


def quality_plots(curves: Sequence[Curve]) -> dict[str, str]:
    """Draw the curves of a kind of question; returns SVG by name."""
    return {curve.name: _draw_curve(curve) for curve in curves}


def _draw_curve(curve: Curve) -> str:
    marks: dict[str, Any] = {
        "line": {},
        "points": {"marker": "o", "markersize": 3},
        "cloud": {"marker": "o", "markersize": 1, "linestyle": "none"},
    }[curve.style]

    def draw(axes: Axes) -> None:
        if curve.diagonal:
            ends = [end for x, _ in curve.lines.values() for end in (x.min(), x.max())]
            axes.plot([min(ends), max(ends)], [min(ends), max(ends)], color="#bbb", linewidth=1)
        for (who, (x, y)), colour in zip(curve.lines.items(), _COLOURS, strict=False):
            axes.plot(x, y, color=colour, label=who, **marks)

    return _draw_plot(curve.title, curve.x, curve.y, draw)


def daily_plot(day: Array, levels: Mapping[str, tuple[str, Array, Array]]) -> str:
    """Draw the labels and the predictions per day as SVG.

    Args:
        day: datetime64, shape (n_rows,).
        levels: by name of the model: what is drawn, its value for labels and for predictions, each of shape (n_rows,).
    """
    days, index = np.unique(day.astype("datetime64[D]"), return_inverse=True)
    rows = np.bincount(index)
    name, labels, _ = next(iter(levels.values()))

    def draw(axes: Axes) -> None:
        axes.plot(range(len(days)), np.bincount(index, labels) / rows, color="#222", linewidth=2, label="label")
        for (who, (_, _, predicted)), colour in zip(levels.items(), _COLOURS, strict=False):
            axes.plot(range(len(days)), np.bincount(index, predicted) / rows, color=colour, label=who)

    return _draw_plot("Per day", f"days since {days[0]}", name, draw)


def importance_plot(values: Mapping[str, float], loss: str) -> str:
    """Draw the 20 largest values as bars, largest first, as SVG; `loss` names what they add."""
    top = sorted(values.items(), key=lambda item: item[1])[-20:]

    def draw(axes: Axes) -> None:
        axes.barh([name for name, _ in top], [value for _, value in top], color=_COLOURS[0])

    return _draw_plot("Loss when a feature is shuffled", f"{loss} more", "", draw)


class _Box(NamedTuple):
    """A box of a chart, and what the pointer shows at it."""

    start: Any
    end: Any
    bottom: float
    top: float
    text: str
    fill: str
    edge: str


@dataclass
class Chart:
    """Axes whose marks can be explained, and drawn as boxes in labelled rows."""

    axes: Axes
    texts: list[str] = field(default_factory=list)
    boxes: list[_Box] = field(default_factory=list)

    def explain(self, mark: Artist, text: str) -> None:
        """Have the pointer show a text at a mark."""
        mark.set_gid(f"mark{len(self.texts)}")
        self.texts.append(text)

    def label_rows(self, names: Sequence[str], bold: int = 0) -> None:
        """Have one row per name, the first on top; the first `bold` names are in bold."""
        self.axes.set_ylim(len(names) - 0.4, -0.6)
        for label in self.axes.set_yticks(range(len(names)), names)[:bold]:
            label.label1.set_fontweight("bold")

    def add_box(self, row: int, start: Any, end: Any, text: str, *, fill: str, edge: str, height: float = 0.8) -> None:
        """Draw a box from one moment to another that stands on the bottom of a row; `height`: share of the row."""
        self.boxes.append(_Box(start, end, row + 0.4, row + 0.4 - height, text, fill, edge))

    def add_bar(self, day: date, height: float, text: str) -> None:
        """Draw a bar that stands on the bottom of the chart, at a day."""
        start = datetime(day.year, day.month, day.day)  # noqa: DTZ001 (as the axis: UTC without zone)
        self.boxes.append(_Box(start, start + timedelta(hours=20), 0, height, text, _COLOURS[0], "none"))

    def draw_boxes(self) -> None:
        """Draw all boxes as one collection: as patches of their own a thousand of them take more than a second."""
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
        # A fill more than boxes: Matplotlib draws a single path of a single colour as a marker, without that colour.
        fills, edges = [*(box.fill for box in self.boxes), "none"], [box.edge for box in self.boxes]
        self.axes.add_collection(PolyCollection(corners, facecolors=fills, edgecolors=edges, gid="boxes", zorder=3))


def draw_timeline(draw: Callable[[Chart], None], span: tuple[Any, Any], inches: float, label: str) -> str:
    """Draw a chart over time as an SVG element; charts of one span have their moments below each other.

    Args:
        draw: draws the marks.
        span: first and last moment, UTC without zone; marks outside are cut off.
        inches: height.
        label: what the chart shows, for who cannot see it.
    """
    from matplotlib.dates import AutoDateLocator, DateFormatter, MonthLocator

    months = span[1] - span[0] > timedelta(days=62)

    def draw_marks(axes: Axes) -> Chart:
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        locator = MonthLocator() if months else AutoDateLocator(minticks=1, maxticks=8)  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(DateFormatter("%b" if months else "%-d %b"))  # type: ignore[no-untyped-call]
        axes.grid(axis="x", color="#e3e6ea")
        axes.figure.subplots_adjust(left=0.21, right=0.97, bottom=0.25 / inches, top=1 - 0.05 / inches)
        chart = Chart(axes)
        draw(chart)
        if chart.boxes:
            chart.draw_boxes()
        axes.set_xlim(*span)
        return chart

    svg, chart = _draw_svg(draw_marks, (9.6, inches), None)
    svg = re.sub(r'<g id="mark(\d+)">', lambda mark: f"<g>{_title(chart.texts[int(mark[1])])}", svg)
    svg = re.sub(r'<g id="boxes">.*?</g>', lambda boxes: _explain_boxes(boxes[0], chart.boxes), svg, flags=re.DOTALL)
    return svg[svg.index("<svg ") :].replace("<svg ", f'<svg role="img" aria-label="{escape(label)}" ', 1)


def draw_days(source: str, rows: Mapping[date, int]) -> str:
    """Draw the number of rows of each day as an SVG element.

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

    return draw_timeline(draw, (days[0], days[-1] + timedelta(days=1)), 1.6, f"Rows per day of {source}")


def _explain_boxes(drawn: str, boxes: Sequence[_Box]) -> str:
    """Have the pointer show each box's text: the collection has one path per box, in their order."""
    paths = re.findall(r"<path .*?/>", drawn, flags=re.DOTALL)
    return "".join(f"<g>{_title(box.text)}{path}</g>" for path, box in zip(paths, boxes, strict=True))


def _title(text: str) -> str:
    return f"<title>{escape(text)}</title>"


def _draw_plot(title: str, x: str, y: str, draw: Callable[[Axes], None]) -> str:
    def draw_with_names(axes: Axes) -> None:
        draw(axes)
        axes.set(title=title, xlabel=x, ylabel=y)
        for text in (axes.title, axes.xaxis.label, axes.yaxis.label):
            text.set_parse_math(False)  # a class may be named "$5 to $9"
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False)

    return _draw_svg(draw_with_names, (5, 4), "constrained")[0]


def _draw_svg[T](draw: Callable[[Axes], T], inches: tuple[float, float], layout: Any) -> tuple[str, T]:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    # Text stays text in the SVG, and equal plots are equal files.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "mlops"}):
        figure: Figure = Figure(figsize=inches, layout=layout)
        drawn = draw(figure.add_subplot())
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue(), drawn


def _format_figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}".rstrip("0").rstrip(".")
