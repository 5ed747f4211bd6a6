"""The kinds of question that tests of figures ask."""

from __future__ import annotations

from mlops.contract import Label
from mlops.questions import question_of

CLASSES = ("red", "green", "blue")
BINARY, SEVERAL, NUMBER = (
    question_of(Label(name="late", source="outcomes", value="delay > 15", matured="TRUE", kind=kind, classes=classes))
    for kind, classes in (("binary", ()), ("classes", CLASSES), ("number", ()))
)
