"""The kinds of question: binary, classes and number, behind one protocol. Pure: arrays and frames in, figures out.

`Label.kind` selects the kind; nothing is guessed from data. A kind defines the allowed labels, the pipeline's method,
loss, ranking, skill and gap, their bootstrap over days, baselines, the columns of predictions and metrics, and the
words in messages.
"""

from __future__ import annotations

from mlops.contract import Label
from mlops.questions.base import Question
from mlops.questions.binary import BinaryQuestion
from mlops.questions.classes import ClassesQuestion
from mlops.questions.comparison import bootstrap_paired_days, draw_days
from mlops.questions.figures import FigureNames
from mlops.questions.number import NumberQuestion
from mlops.questions.ranking import Array

__all__ = ["Array", "FigureNames", "Question", "bootstrap_paired_days", "draw_days", "question_of"]


def question_of(label: Label) -> Question:
    """Return the kind of question that a label declares."""
    kinds: dict[str, type[Question]] = {
        "binary": BinaryQuestion,
        "classes": ClassesQuestion,
        "number": NumberQuestion,
    }
    return kinds[label.kind](label)
