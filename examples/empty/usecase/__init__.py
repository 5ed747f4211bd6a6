"""TODO: say in one sentence what is predicted, when, and for what decision."""

from __future__ import annotations

from datetime import timedelta

from mlops.contract import Entity, Label, UseCase
from usecase.features import FEATURES
from usecase.model import MODEL
from usecase.policy import POLICY
from usecase.sample import sample
from usecase.sources import SOURCES

USE_CASE = UseCase(
    name="NAME",
    question="QUESTION",
    sample=sample,
    sources=SOURCES,
    # TODO: what a prediction is about, the column with the time of its event, and how long before it you ask.
    entity=Entity(source="events", key=("event_id",), event_time="happens_at", lead=timedelta(hours=1)),
    features=FEATURES,
    # TODO: the label, as SQL over the source that reports it, and when a row has one.
    label=Label(
        name="result",
        source="outcomes",
        value="outcome",
        matured="outcome IS NOT NULL",
        kind="binary",
    ),
    model=MODEL,
    policy=POLICY,
    # TODO: with a sample, `replay=Replay(...)` names its days: `laptop demo` and the tests of honesty read them.
)
