"""Check that every name in a use case refers to something: columns, sources, features. Runs at import."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from mlops.contract import label_sql
from mlops.contract.data import Entity, Feature, Label, Source
from mlops.contract.errors import ConfigError
from mlops.contract.policy import Policy

RESERVED = frozenset({
    "alerts", "audit", "counts", "decisions", "drift", "features", "ledger", "metrics", "predictions", "quarantine",
    "shadow_predictions",
})  # fmt: skip
"""Names of the tables that the jobs write beside those of the sources."""
_TIMES = ("event_time", "prediction_time", "batch")
"""Columns of the feature table beside the entity's key and the features."""
_WRITTEN = (
    *_TIMES, "scored_at", "prediction", "probabilities", "model_version", "endpoint_request_id", "reasons",
)  # fmt: skip
"""Columns of the tables of features and predictions beside the entity's key and the features."""


def check_names(
    sources: Sequence[Source], entity: Entity, features: Sequence[Feature], label: Label, policy: Policy
) -> None:
    """Raise ConfigError that lists every name that is declared twice, is reserved, or refers to nothing."""
    problems = [
        *_find_repeated("source", (source.name for source in sources)),
        *(
            f"source {s.name!r} has the name of a table that jobs write: rename it"
            for s in sources
            if s.name in RESERVED
        ),
        *(problem for source in sources for problem in _check_source(source, {s.name: s for s in sources})),
    ]
    by_name = {source.name: source for source in sources}
    for owner, name in (
        ("entity", entity.source),
        ("label", label.source),
        *(("label.joined", n) for n in label.joined),
    ):
        problems += _find_unknown(f"{owner} reads source", [name], by_name)
    if not problems:
        problems += _check_label(label, by_name)
        asked = by_name[entity.source]
        problems += _find_no_times(f"the entity's event_time of source {asked.name!r}", [entity.event_time], asked)
        names = [feature.name for feature in features]
        problems += _find_repeated("feature", names)
        problems += [
            f"the entity's key {name!r} has the name of another column of the table features or predictions: rename it"
            for name in entity.key
            if name in _WRITTEN
        ]
        taken = sorted({*names} & {*entity.key, *_TIMES})
        problems += [f"feature {name!r} has the name of a key or time column of the feature table" for name in taken]
        for field in ("slices", "paging"):
            problems += _find_unknown(f"the policy's {field} name feature", getattr(policy, field), names)
    if problems:
        raise ConfigError("; ".join(problems))


def _check_source(source: Source, by_name: dict[str, Source]) -> Iterator[str]:
    columns = {column.name for column in source.columns}
    yield from _find_repeated(f"column of source {source.name!r}", (column.name for column in source.columns))
    if not source.key:
        yield f"source {source.name!r} has no key: name the columns that tell its rows apart"
    yield from _find_unknown(f"the key of source {source.name!r} names column", source.key, columns)
    optional = [c.name for c in source.columns if not c.required and c.name in {*source.key, source.known_at}]
    if optional:
        yield (
            f"source {source.name!r} has {', '.join(optional)} in its key or as known_at with required=False: a row "
            "without it is no version of anything, and a repeated write would add it again; leave required out"
        )
    yield from _find_no_times(f"known_at of source {source.name!r}", [source.known_at], source)
    for other, names in source.agrees_with.items():
        yield from _find_unknown(f"source {source.name!r} agrees with source", [other], by_name)
        for owner in (source, by_name[other]) if other in by_name else ():
            known = {column.name for column in owner.columns}
            wanted = [*names, *(source.key if owner is not source else ())]
            yield from _find_unknown(f"agrees_with {other!r} of source {source.name!r} names column", wanted, known)


def _check_label(label: Label, by_name: dict[str, Source]) -> Iterator[str]:
    reports = by_name[label.source]
    columns = {column.name for column in reports.columns}
    yield from _find_unknown("the label's by names column", label.by, columns)
    if label.on:
        yield from _find_no_times("the label's on", [label.on], reports)
    for name in label.joined:
        what = f"the label joins source {name!r}, and source {label.source!r} has no key column"
        yield from _find_unknown(what, by_name[name].key, columns)
    yield from label_sql.find_problems(label, by_name)


def _find_repeated(what: str, names: Iterable[str]) -> Iterator[str]:
    yield from (f"{what} {name!r} is declared {count} times" for name, count in Counter(names).items() if count > 1)


def _find_unknown(what: str, names: Iterable[str], known: Iterable[str]) -> Iterator[str]:
    """Yield a sentence per unknown name, with the most similar known name, else with all known names."""
    known = sorted({*known})
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            cure = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
            yield f"{what} {name!r}: {cure}"


def _find_no_times(what: str, names: Iterable[str], source: Source) -> Iterator[str]:
    times = [column.name for column in source.columns if column.type == "timestamp"]
    yield from _find_unknown(f"{what} must name a timestamp column, not", names, times)
