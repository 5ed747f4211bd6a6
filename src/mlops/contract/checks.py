"""Check that the parts of a use case fit its kind of question. The check runs when the use case is imported."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mlops.contract.data import Entity, Label, Source
from mlops.contract.errors import ConfigError
from mlops.contract.policy import Model, Policy


def check_kind(label: Label, model: Model, policy: Policy) -> None:
    """Raise ConfigError that lists every setting that does not fit the label's kind."""
    if problems := [*_find_estimator_problems(label, model), *_find_policy_problems(label, policy)]:
        raise ConfigError(f"label {label.name!r} has kind {label.kind!r}, and {'; '.join(problems)}")


def check_keys(entity: Entity, asked: Source, label: Label, reports: Source) -> None:
    """Raise ConfigError if the keys do not give each entity one row, and at most one outcome.

    Args:
        entity: the thing that is predicted.
        asked: its source.
        label: what is predicted.
        reports: the label's source.
    """
    if set(entity.key) != set(asked.key):
        raise ConfigError(
            f"the entity has the key {entity.key}, and its source {asked.name!r} the key {asked.key}: name the same "
            "columns, else several things that are predicted are taken for one"
        )
    wrong = set(label.by) - set(entity.key) if label.within else set(reports.key) - set(entity.key)
    if wrong:
        cure = (
            "take them out of `by`"
            if label.within
            else f"report one row per {' and '.join(entity.key)}, or set within, on and by: then an aggregate counts"
        )
        raise ConfigError(
            f"label {label.name!r} of source {reports.name!r} depends on {', '.join(sorted(wrong))}, which is not in "
            f"the entity's key {entity.key}: {cure}"
        )


def check_prefix(prefix: str) -> None:
    """Raise ConfigError if a prefix cannot begin the name of a table."""
    if not re.fullmatch(r"([a-z][a-z0-9_]*_)?", prefix):
        raise ConfigError(f"table_prefix is {prefix!r}: lower-case letters, digits and _ that end with _, as bikes_")


def _find_estimator_problems(label: Label, model: Model) -> Iterator[str]:
    from sklearn.base import is_classifier, is_regressor

    pipeline = model.build({})
    name = type(pipeline[-1] if hasattr(pipeline, "steps") else pipeline).__name__
    if label.kind == "number":
        if is_classifier(pipeline) or not hasattr(pipeline, "predict"):
            yield f"the model ends with {name}, which predicts no number: end it with a regressor"
    elif is_regressor(pipeline):
        yield f"the model ends with {name}, a regressor: end it with a classifier, or set kind='number' in the label"
    elif not hasattr(pipeline, "predict_proba"):
        yield f"the model ends with {name}, which has no predict_proba: end it with a classifier of probabilities"


def _find_policy_problems(label: Label, policy: Policy) -> Iterator[str]:
    if label.within is not None and label.within > policy.maturity:
        yield f"its window of {label.within} ends after the policy's maturity of {policy.maturity}: raise the maturity"
    if policy.margin_precision is not None and label.kind != "binary":
        yield "the policy sets margin_precision: average precision is a figure of kind 'binary'"
    if policy.value is None:
        return
    classes = {"binary": 2, "classes": len(label.classes)}.get(label.kind, 0)
    shape = [len(row) for row in policy.value.matrix]
    if not classes:
        yield "the policy sets value: a predicted number is no decision"
    elif shape != [classes] * classes:
        yield f"the policy's value matrix has rows of {shape} entries: it must have {classes} rows of {classes}"
