"""Columns of the table `metrics`: the same figures for every kind of question, by the names of the kind."""

from __future__ import annotations

from collections.abc import Sequence

from mlops.questions.figures import FigureNames, MetricColumn

_INTERVAL = "95 % day-block interval"


def figure_columns(
    names: FigureNames,
    *,
    levels: tuple[str, str],
    ranking: str,
    loss: str,
    unit: str,
    gap: str,
    counts: Sequence[MetricColumn] = (),
    others: Sequence[MetricColumn] = (),
    has_expected_loss: bool = True,
) -> tuple[MetricColumn, ...]:
    """List the columns of a kind, in the order of the table.

    Args:
        names: names of the kind's figures.
        levels: comments of the level of labels and of the expected one.
        ranking: comment of the ranking figure.
        loss: comment of the loss, without its unit.
        unit: unit of the loss, with a comma before it.
        gap: comment of the gap.
        counts: columns after `labelled`.
        others: columns after the loss.
        has_expected_loss: whether predictions tell their own loss before labels come.
    """
    rank, error = names.ranking, names.loss
    columns = (
        MetricColumn("labelled", "labelled", "Predictions with a label", "long"),
        *counts,
        MetricColumn("unreported", "unreported", "Share of predictions whose outcome is not reported"),
        MetricColumn("expected_level", f"expected_{names.level}", levels[1]),
        MetricColumn("expected_loss", f"expected_{error}", f"{loss} if the predictions are calibrated{unit}"),
        MetricColumn("level", names.level, levels[0]),
        *_with_interval("ranking", rank, ranking),
        *_with_interval("loss", error, f"{loss}{unit}"),
        *others,
        *_with_interval("gap", names.gap, gap, ends="gap"),
        MetricColumn("excess_loss", f"excess_{error}", f"{loss} minus the expected one{unit}"),
        MetricColumn("baseline_ranking", f"baseline_{rank}", f"{ranking}, of the first champion on the same rows"),
        MetricColumn("baseline_loss", f"baseline_{error}", f"{loss} of the first champion on the same rows{unit}"),
        *_with_interval("loss_gain", f"{error}_gain", f"{loss} of the first champion minus that of predictions{unit}"),
    )
    return tuple(c for c in columns if has_expected_loss or c.field not in {"expected_loss", "excess_loss"})


def _with_interval(field: str, name: str, comment: str, ends: str = "") -> tuple[MetricColumn, ...]:
    return (
        MetricColumn(field, name, comment),
        *(MetricColumn(f"{field}_{end}", f"{ends or name}_{end}", _INTERVAL) for end in ("low", "high")),
    )
