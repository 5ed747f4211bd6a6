"""The use case: predict two hours before a flight's scheduled departure whether it arrives more than 15 minutes late.

A fork edits only this folder.
"""

from __future__ import annotations

from datetime import date, timedelta

from mlops.contract import Entity, Label, Replay, UseCase
from usecase.features import FEATURES
from usecase.model import MODEL
from usecase.policy import POLICY
from usecase.sample import sample
from usecase.sources import SOURCES

USE_CASE = UseCase(
    name="flights",
    question="Will this flight arrive more than 15 minutes late?",
    sample=sample,
    sources=SOURCES,
    entity=Entity(source="schedule", key=("flight_id",), event_time="scheduled_departure", lead=timedelta(hours=2)),
    features=FEATURES,
    # Cancelled and diverted flights have no arrival delay, and so no label.
    label=Label(name="late", source="outcomes", value="arrival_delay > 15", matured="arrival_delay IS NOT NULL"),
    model=MODEL,
    policy=POLICY,
    replay=Replay(
        first_file=date(2012, 12, 31),  # the schedule of 1 January is known the day before
        trained=date(2013, 4, 1),
        default_end=date(2013, 4, 30),
        last_day=date(2013, 12, 31),
        tested=(date(2013, 1, 20), date(2013, 1, 24)),
    ),
)
