"""Whether features see only what was known: rewrite what was not, and look which of them move.

It knows no use case: `frames_of` makes the rows of the days that a use case names.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

import numpy as np
import pandas as pd

from mlops.contract import Feature, Source, UseCase
from mlops.data.point_in_time import compute_features


def files_of(use_case: UseCase) -> dict[str, str]:
    """Path to text of the files of `replay.tested`, and of every reference table's files until then."""
    replay = use_case.replay
    assert replay is not None
    since, until = (f"{day:%Y-%m-%d}" for day in replay.tested)
    references = {source.name for source in use_case.sources if source.history is None}
    return {
        path: text
        for path, text in use_case.sample(replay.first_file, replay.tested[1])
        if path.split("/")[0] in references or since <= path.split("/")[1][:10] <= until
    }


def parse_rows(text: str, source: Source) -> pd.DataFrame:
    """A CSV file's rows as the source declares them; times UTC without zone."""
    frame = pd.read_csv(io.StringIO(text), dtype={c.name: "object" for c in source.columns if c.type == "string"})
    for column in source.columns:
        if column.type == "timestamp":
            frame[column.name] = (
                pd.to_datetime(frame[column.name], utc=True).dt.tz_localize(None).astype("datetime64[ns]")
            )
    return frame


def frames_of(use_case: UseCase, files: Mapping[str, str]) -> dict[str, pd.DataFrame]:
    """Source name to its rows in these files."""
    texts = {s.name: [t for path, t in files.items() if path.startswith(f"{s.name}/")] for s in use_case.sources}
    header = {source.name: ",".join(column.name for column in source.columns) for source in use_case.sources}
    return {
        source.name: pd.concat(
            [parse_rows(text, source) for text in texts[source.name] or [header[source.name]]], ignore_index=True
        )
        for source in use_case.sources
    }


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


def moments_of(use_case: UseCase, frames: Mapping[str, pd.DataFrame], count: int = 12) -> list[pd.Timestamp]:
    """Moments spread over the prediction times of the tested days, the first day left out: it has little history."""
    entity = use_case.entity
    asked = (frames[entity.source][entity.event_time] - entity.lead).sort_values()
    late = asked[asked >= asked.iloc[0].floor("D") + timedelta(days=1)]
    return [late.iloc[position] for position in np.linspace(0, len(late) - 1, count).astype(int)]


def served_differently(
    use_case: UseCase, frames: Mapping[str, pd.DataFrame], features: Sequence[Feature] | None = None
) -> Iterator[tuple[pd.Timestamp, str]]:
    """Moment and name of each feature that training sees otherwise than serving made it.

    At each moment serving has what was known by then; training has the whole history, at once.
    """
    key = [*use_case.entity.key, "prediction_time"]  # the entity's key alone may come again, as a shop every day
    whole, before = made(use_case, frames, features).reset_index().set_index(key), pd.Timestamp.min
    for now in moments_of(use_case, frames):
        known = {name: rows[rows[use_case.source(name).known_at] <= now] for name, rows in frames.items()}
        served = made(use_case, known, features).reset_index()
        served = served[(served["prediction_time"] > before) & (served["prediction_time"] <= now)].set_index(key)
        expected = whole.loc[served.index]
        yield from ((now, name) for name in served if not served[name].equals(expected[name]))
        before = now
