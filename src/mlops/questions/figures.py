"""What a kind of question calls its figures, and the columns and curves that show them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mlops.questions.ranking import Array


@dataclass(frozen=True)
class FigureNames:
    """Names of a kind's ranking, loss and gap: in metrics, rules and columns, and in sentences."""

    ranking: str
    loss: str
    gap: str
    ranking_words: str
    loss_words: str
    gap_words: str
    gap_meaning: str
    gap_sentence: str
    """With the place `{gap}`, as in "mean prediction is {gap} off the mean label"."""
    gap_rule: str
    """Name of the gate's rule and of the alert on the gap."""
    level: str
    """Name of what the gap compares: the column `<level>` for labels, `expected_<level>` for predictions."""
    known_figures: Mapping[str, str]
    """Words of the further figures that people of this kind know, by name in `Metrics.figures`."""
    gap_sides: tuple[str, str] = ("it predicts too little", "it predicts too much")
    """What a gap below 0 means, and what one above 0 does."""

    def describe_side(self, gap: float) -> str:
        """Say which way a gap goes, in brackets; "" for one that is printed as 0.0000."""
        return f" ({self.gap_sides[gap > 0]})" if round(gap, 4) else ""


@dataclass(frozen=True)
class MetricColumn:
    """A column of the table `metrics`."""

    field: str
    """Name of the figure in the code, which is the same for every kind."""
    name: str
    comment: str
    type: Literal["long", "double"] = "double"


@dataclass(frozen=True)
class Curve:
    """A plot of one line or cloud of points per model."""

    name: str
    title: str
    x: str
    y: str
    lines: Mapping[str, tuple[Array, Array]]
    """Points by name of the model."""
    style: Literal["line", "points", "cloud"] = "line"
    diagonal: bool = False
    """Whether a perfect model lies on x = y."""
