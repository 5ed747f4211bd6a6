"""Whether features see only what was known: rewrite what was not, and look which of them move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from mlops.contract import Feature, UseCase
from mlops.data.point_in_time import compute_features


def made(
    use_case: UseCase,
    frames: Mapping[str, pd.DataFrame],
    features: Sequence[Feature] | None = None,
    entities: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """The feature table of entities (None: all that the frames hold), indexed by the entity's key."""
    rows = frames[use_case.entity.source] if entities is None else entities
    chosen = use_case.features if features is None else features
    return compute_features(use_case.entity, chosen, use_case.sources, rows, frames).set_index(
        list(use_case.entity.key)
    )


def rewritten(frame: pd.DataFrame, known_at: str, cut: pd.Timestamp, how: str, seed: int) -> pd.DataFrame:
    """A feed in which all that became known after the cut is otherwise: `drop`ped, `shuffle`d or told `twice`."""
    later = frame[known_at] > cut
    before, after = frame[~later], frame[later]
    generator = np.random.default_rng(seed)
    others = after.assign(**{
        name: after[name].to_numpy()[generator.permutation(len(after))] for name in after if name != known_at
    })  # fmt: skip
    return {"drop": before, "shuffle": pd.concat([before, others]), "twice": pd.concat([frame, others])}[how]


def unstable(
    use_case: UseCase,
    frames: Mapping[str, pd.DataFrame],
    cut: pd.Timestamp,
    how: str = "shuffle",
    *,
    seed: int = 0,
    features: Sequence[Feature] | None = None,
) -> set[str]:
    """Names of the features that saw the future: some value asked for by `cut` moves with what became known later."""
    source = use_case.source(use_case.entity.source)
    asked = frames[source.name][use_case.entity.event_time] - use_case.entity.lead
    entities = frames[source.name][(asked <= cut) & (frames[source.name][source.known_at] <= asked)]
    otherwise = {
        name: rewritten(frame, use_case.source(name).known_at, cut, how, seed) for name, frame in frames.items()
    }
    left, right = (made(use_case, world, features, entities) for world in (frames, otherwise))
    return {name for name in left if not left[name].equals(right[name])}
