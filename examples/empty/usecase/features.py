"""What is known at the prediction time: one function per feature, named as its column."""

from __future__ import annotations

from datetime import timedelta

from mlops.contract import Feature, Known, Values, feature


# TODO: replace the two features by your own; docs/how-to/add-a-feature.md shows each kind.
@feature(unit="", known_from="the event's publication")
def size(known: Known) -> Values:
    """Size of the event."""
    return known.rows["size"].to_numpy()


@feature(unit="share", known_from="the report of each outcome", limits=(0, 1))
def share_of_7_days(known: Known) -> Values:
    """Share of the events of the last 7 days that happened."""
    return known.window("outcomes", by=[], since=timedelta(days=7)).mean("outcome")


FEATURES = tuple(value for value in globals().values() if isinstance(value, Feature))
"""Every feature above, in its order."""
