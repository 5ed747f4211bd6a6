"""Every array, list and number of some fitted models changed in every way, and what prediction makes of it.

A change may crash the process, so each is tried in a child of this one: run it as `python brokenmodels.py MODEL`. It
prints the changes that end in a crash, and the wrong lengths that end in other numbers without a word.
"""

from __future__ import annotations

import copy
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder, OrdinalEncoder, StandardScaler

from mlops.platform.model_structure import _walk, find_broken_indices

DRAWN = np.random.default_rng(0)
X = pd.DataFrame({
    "kind": DRAWN.choice(list("xyz"), 400),
    "place": DRAWN.choice(list("abcdefgh"), 400, p=[0.3, 0.3, 0.2, 0.1, 0.05, 0.03, 0.01, 0.01]),
    "code": DRAWN.integers(0, 4, 400),
    "size": np.where(np.arange(400) % 7, DRAWN.normal(size=400), np.nan),
    "many": DRAWN.normal(size=400),
})  # fmt: skip
Y = ((X["kind"] == "x") + X["many"] > 0.5) * 1
FREE = {"_predictors"}
"""Lists of any length: with a tree more or less a model is another model, and a valid one."""
NUMBERS = (
    "numbers",
    Pipeline([("fill", SimpleImputer(add_indicator=True)), ("scale", StandardScaler())]),
    ["size", "many"],
)
CODES = ["kind", "place", "code"]


def fitted(encoder: Any, model: Any = None, *, sparse: float = 0.3) -> Pipeline:
    inputs = ColumnTransformer([("codes", encoder, CODES), NUMBERS], sparse_threshold=sparse)
    return Pipeline([("inputs", inputs), ("model", model or LogisticRegression(max_iter=50))]).fit(X, Y)


MODELS = {
    "dense": lambda: fitted(OneHotEncoder(handle_unknown="ignore", sparse_output=False)),
    "sparse": lambda: fitted(OneHotEncoder(handle_unknown="ignore"), sparse=1.0),
    "one left out": lambda: fitted(OneHotEncoder(drop="first", sparse_output=False)),
    "rare together": lambda: fitted(
        OneHotEncoder(min_frequency=20, drop="first", handle_unknown="infrequent_if_exist", sparse_output=False)
    ),
    "numbered": lambda: fitted(OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, min_frequency=20)),
    "boosted": lambda: fitted(OrdinalEncoder(), HistGradientBoostingClassifier(max_iter=3, categorical_features=[0])),
    "binned": lambda: Pipeline([
        ("inputs", ColumnTransformer([("bins", KBinsDiscretizer(4), ["many"]), ("codes", OneHotEncoder(), CODES)])),
        ("model", LogisticRegression(max_iter=50)),
    ]).fit(X, Y),
}  # fmt: skip


def places(root: object) -> list[tuple[Any, Any, Any]]:
    """Each container of a model, the name or number of a value in it, and the value."""
    made = []
    for thing in _walk(root):
        if isinstance(thing, dict | list):
            items = thing.items() if isinstance(thing, dict) else enumerate(thing)
        else:
            items = vars(thing).items() if hasattr(thing, "__dict__") else ()
        made += [(thing, name, value) for name, value in items if name != "steps" and not isinstance(value, bool)]
    return [place for place in made if isinstance(place[2], np.ndarray | list | int | float | np.integer)]


def changes(value: Any) -> Iterator[tuple[str, Any]]:
    """Changed copies of a value, each with a name; those of another length start with `length`."""
    if isinstance(value, np.ndarray):
        if value.ndim and len(value):
            yield from (("length 0", value[:0]), ("length 1", value[:1]), ("length -1", value[:-1]))
            yield from (
                ("length +1", np.concatenate([value, value[:1]])),
                ("reversed", value[::-1]),
                ("2d", value[None]),
            )
        for number in (-1, 10**6, -(2**31)) if value.dtype.kind in "if" and value.size else ():
            with_number = value.astype(np.int64 if value.dtype.kind == "i" else value.dtype)
            with_number.flat[0] = number
            yield f"first {number}", with_number
        yield "object", value.astype(object)
    elif isinstance(value, list):
        yield from (
            ("length 0", []),
            ("length -1", value[:-1]),
            ("length +1", value + value[:1]),
            ("reversed", value[::-1]),
        )
    else:
        yield from ((f"= {number}", type(value)(number)) for number in (0, 1, 10**6))


def outcome(model: Any, number: int, change: str) -> str:
    right = model.predict_proba(X.head(40))
    container, name, value = places(model)[number]
    new = dict(changes(value))[change]
    if isinstance(container, dict | list):
        container[name] = new
    else:
        setattr(container, name, new)
    try:
        if problems := find_broken_indices(model):
            return f"named: {problems[0]}"
        p = model.predict_proba(X.head(40))
    except Exception as error:  # noqa: BLE001 (whatever it raises, it is a refusal)
        return f"raises {type(error).__name__}"
    return "other numbers" if p.shape == (40, 2) and not np.allclose(p, right, equal_nan=True) else "as before"


def outcome_in_child(model: Any, number: int, change: str) -> str:
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(60)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        os.write(writes, outcome(copy.deepcopy(model), number, change).encode()[:400])
        os._exit(0)
    os.close(writes)
    said = os.read(reads, 400).decode()
    os.close(reads)
    _, status = os.waitpid(child, 0)
    return f"crash by signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else said


def main(name: str) -> None:
    warnings.simplefilter("ignore")
    model, tried = MODELS[name](), 0
    if problems := find_broken_indices(model):
        sys.stdout.write(f"as it was fitted: {problems}\n")
    for number, (container, key, value) in enumerate(places(model)):
        for change, _ in changes(value):
            tried += 1
            said = outcome_in_child(model, number, change)
            bound = not isinstance(container, list) and key not in FREE
            silent = said == "other numbers" and change.startswith("length") and bound
            if said.startswith("crash") or silent:
                sys.stdout.write(f"{type(container).__name__}.{key} {change}: {said}\n")
    sys.stderr.write(f"tried {tried}")


if __name__ == "__main__":
    main(sys.argv[1])
