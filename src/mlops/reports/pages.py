"""Render pages. This is the only module that imports Jinja; every text is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from mlops.reports.charts import Plot, draw_days

_EXAMPLES = 5


def render_verdict(
    *,
    title: str,
    summary: str,
    accepted: bool,
    rules: Sequence[Any],
    metrics: Mapping[str, Mapping[str, float]],
    plots: Mapping[str, Plot],
) -> str:
    """Render a verdict as one HTML file without external files.

    Args:
        title: the version that was validated.
        summary: the data that it was validated on, in a sentence.
        accepted: whether the version is accepted.
        rules: `mlops.contract.Rule`s, in the order of the page.
        metrics: figures by model (challenger, champion) and name; the same names for both.
        plots: charts by name.
    """
    names = list(next(iter(metrics.values()), {}))
    return render_template(
        "verdict.html", title=title, summary=summary, accepted=accepted, rules=rules, metrics=metrics, names=names,
        plots=plots, figure=_format_figure,
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
    plots = {result.source.name: draw_days(result.source.name, result.per_day) for result in results if result.per_day}
    return render_template(
        "batch.html", title=title, subtitle=subtitle, results=results, problems=problems, plots=plots,
        examples=_first_examples,
    )  # fmt: skip


def _first_examples(result: Any, rule: str) -> list[Any]:
    return list(islice((row for row in result.broken if row.rule == rule), _EXAMPLES))


def render_template(template: str, **values: Any) -> str:
    """Render a template of this folder; every text is escaped, except SVG that `charts` drew."""
    import jinja2

    loader = jinja2.PackageLoader("mlops", "reports")
    pages = jinja2.Environment(autoescape=True, loader=loader, trim_blocks=True, undefined=jinja2.StrictUndefined)
    return pages.get_template(template).render(**values)


def _format_figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}".rstrip("0").rstrip(".")
