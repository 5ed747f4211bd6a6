"""What is known at the prediction time: one function per feature, named as its column."""

from __future__ import annotations

from datetime import timedelta

from mlops.contract import Feature, Known, Values, feature


# TODO: replace the two features by your own; docs/how-to/add-a-feature.md shows each kind.
@feature(unit="", known_from="the event's publication")
def size(known: Known) -> Values:
    """Size of the event."""
    return known.rows["size"].to_numpy()


@feature(unit="", known_from="the report of each outcome")
def outcomes_7d(known: Known) -> Values:
    """Number of outcomes that were reported in the last 7 days."""
    return known.window("outcomes", by=[], since=timedelta(days=7)).count()


FEATURES = tuple(value for value in globals().values() if isinstance(value, Feature))
"""Every feature above, in its order."""
