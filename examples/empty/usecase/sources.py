"""The sources: their columns, keys and known-at columns."""

from __future__ import annotations

from datetime import timedelta

from mlops.contract import Column, Source

# TODO: the source with one row per thing that is predicted, known before its event.
EVENTS = Source(
    name="events",
    comment="Events that are expected",
    columns=(
        Column(name="event_id", type="string", comment="Names the event"),
        Column(name="happens_at", type="timestamp", comment="When it is due, UTC"),
        Column(name="size", type="double", comment="Size of the event", required=False),
        Column(name="published_at", type="timestamp", comment="When this row became known, UTC"),
    ),
    key=("event_id",),
    known_at="published_at",
    history=timedelta(days=2),
)
# TODO: the source that reports how it ended.
OUTCOMES = Source(
    name="outcomes",
    comment="How events ended",
    columns=(
        Column(name="event_id", type="string", comment="Names the event"),
        Column(name="outcome", type="long", comment="1: it happened; 0: it did not", required=False),
        Column(name="reported_at", type="timestamp", comment="When the outcome became known, UTC"),
    ),
    key=("event_id",),
    known_at="reported_at",
    history=timedelta(days=28),
)
# TODO: every other source that features read. `expectations=` holds what is expected of a source's rows.
SOURCES = (EVENTS, OUTCOMES)
