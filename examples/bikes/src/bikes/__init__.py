"""The use case: predict three hours before an hour begins how many bikes will be rented in it."""

from __future__ import annotations

from datetime import date, timedelta

from bikes.features import FEATURES
from bikes.model import MODEL
from bikes.policy import POLICY
from bikes.rules import feature_rules
from bikes.sample import sample
from bikes.sources import SOURCES
from mlops.contract import Entity, Label, Replay, UseCase

USE_CASE = UseCase(
    name="bikes",
    question="How many bikes will be rented in this hour?",
    sample=sample,
    sources=SOURCES,
    entity=Entity(
        source="hours",
        key=("hour_id",),
        event_time="starts_at",
        lead=timedelta(hours=3),
        expectations=feature_rules,
    ),
    features=FEATURES,
    label=Label(name="bikers", source="rentals", value="bikers", matured="bikers IS NOT NULL", kind="number"),
    model=MODEL,
    policy=POLICY,
    replay=Replay(
        first_file=date(2010, 12, 31),  # the hours of 1 January are announced the day before
        trained=date(2011, 7, 1),
        default_end=date(2011, 7, 28),
        last_day=date(2011, 12, 29),
        tested=(date(2011, 5, 2), date(2011, 5, 12)),
    ),
)
