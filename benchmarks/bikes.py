"""How often the gate errs on a number: challengers whose worth is known, on sliding holdouts of the bikes' second half.

Every holdout is 28 days and begins a week after the one before; each model is fitted anew for each holdout on what had
matured before it, unless the challenger is worse for being old. Then the quality of the model over the half year,
beside a Poisson regression as the book of the package ISLP fits it to these data (month, hour, working day, and the
temperature and weather of the hour itself, which nobody knows three hours before), fitted on the same days.
"""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.linear_model import PoissonRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from benchmarks import replay, report
from mlops.contract import UseCase, Verdict
from mlops.data.point_in_time import compute_features
from mlops.modeling.gate_case import Scored
from mlops.modeling.gates import decide_verdict
from mlops.questions import Array, question_of

_FIRST, _LAST = date(2010, 12, 31), date(2011, 12, 30)
_HOLDOUTS = pd.date_range("2011-07-01", "2011-12-02", freq="7D")
_WEEK = timedelta(days=7)


def main() -> None:
    """Print acceptance rates, and the quality beside the reference."""
    year = _Year()
    pairs: dict[str, tuple[_Fit, _Fit, bool]] = {
        "nine_tenths": (year.sample(0.9), year.fresh, True),
        "fresh_against_stale": (year.fresh, year.stale, True),
        "fresh_against_a_fifth": (year.fresh, year.sample(0.2), True),
        "stale": (year.stale, year.fresh, False),
        "a_fifth": (year.sample(0.2), year.fresh, False),
        "no_history": (year.without_history, year.fresh, False),
        "label_noise": (year.noisy, year.fresh, False),
        "biased_by_a_tenth": (year.biased, year.fresh, False),
    }
    for name, (challenger, champion, good) in pairs.items():
        verdicts = [year.judge(begin, challenger, champion) for begin in _HOLDOUTS]
        refusals = Counter(rule.name for verdict in verdicts for rule in verdict.rules if not rule.passed)
        share = sum(verdict.is_accepted for verdict in verdicts) / len(verdicts)
        print(f"# {name}: {share * len(verdicts):.0f} of {len(verdicts)} accepted; refused by {dict(refusals)}")
        report("bikes", f"accepted_{name}", share, "share", better="higher" if good else "lower")
    for who, fit in (("model", year.fresh), ("poisson_of_the_book", year.reference)):
        for figure, value in year.measure(fit).items():
            if figure != "rows":
                better = "lower" if "error" in figure or figure == "bias" else "higher"
                report("bikes", f"{who}_{figure}", value, "July to December", better=better)


_Fit = Callable[[pd.DataFrame, pd.DataFrame], Array]
"""From the rows before a holdout and those of the holdout to predictions."""


class _Year:
    """Features and labels of all hours of 2011, and the models that are compared on them."""

    @cached_property
    def use_case(self) -> UseCase:
        sys.path.append(str(Path(__file__).parents[1] / "examples" / "bikes" / "src"))
        found: UseCase = importlib.import_module("bikes").USE_CASE
        return found

    @cached_property
    def names(self) -> list[str]:
        return [feature.name for feature in self.use_case.features]

    @cached_property
    def rows(self) -> pd.DataFrame:
        """By hour: event_time, the features, label, and the hour's own calendar and weather for the reference."""
        use_case = self.use_case
        frames = replay.feeds(use_case, _FIRST, _LAST)
        entity = use_case.entity
        rows = compute_features(entity, use_case.features, use_case.sources, frames[entity.source], frames)
        label = frames[use_case.label.source][["hour_id", "bikers"]].rename(columns={"bikers": "label"})
        own = frames["weather"][["hour_id", "situation", "temperature"]].add_prefix("own_")
        rows = rows.merge(label, on="hour_id").merge(own, left_on="hour_id", right_on="own_hour_id", how="left")
        return rows.assign(own_month=rows["event_time"].dt.month).sort_values("event_time", ignore_index=True)

    def _fit(self, train: pd.DataFrame, test: pd.DataFrame) -> Array:
        pipeline = self.use_case.model.build({}).fit(train[self.names], train["label"].astype("float64"))
        return np.asarray(pipeline.predict(test[self.names]))

    def fresh(self, train: pd.DataFrame, test: pd.DataFrame) -> Array:
        """Fitted on all that had matured."""
        return self._fit(train, test)

    def stale(self, train: pd.DataFrame, test: pd.DataFrame) -> Array:
        """Fitted on what had matured twelve weeks before."""
        return self._fit(train[train["event_time"] < train["event_time"].max() - 12 * _WEEK], test)

    def sample(self, share: float) -> _Fit:
        """Fitted on a share of the hours."""
        return lambda train, test: self._fit(train.sample(frac=share, random_state=0).sort_index(), test)

    def without_history(self, train: pd.DataFrame, test: pd.DataFrame) -> Array:
        """Fitted and asked without the rentals of the past."""
        past = {name: np.nan for name in self.names if name.startswith("bikers")}
        return self._fit(train.assign(**past), test.assign(**past))

    def noisy(self, train: pd.DataFrame, test: pd.DataFrame) -> Array:
        """Fitted on labels of which a quarter belong to other hours."""
        generator = np.random.default_rng(0)
        wrong = generator.random(len(train)) < 0.25
        return self._fit(
            train.assign(label=np.where(wrong, generator.permutation(train["label"]), train["label"])), test
        )

    def biased(self, train: pd.DataFrame, test: pd.DataFrame) -> Array:
        """A tenth too high, everywhere."""
        return np.asarray(1.1 * self._fit(train, test))

    def reference(self, train: pd.DataFrame, test: pd.DataFrame) -> Array:
        """The Poisson regression; a month that it has not seen has no effect."""
        columns = ["own_month", "hour", "workingday", "own_situation"]
        codes = make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore"), columns), ("passthrough", ["own_temperature"])
        )
        known = train.dropna(subset=["own_temperature"])
        pipeline = make_pipeline(codes, PoissonRegressor(alpha=1e-4, max_iter=1000))
        pipeline.fit(known[[*columns, "own_temperature"]], known["label"])
        return np.asarray(pipeline.predict(test[[*columns, "own_temperature"]].ffill()))

    def split(self, begin: pd.Timestamp, days: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Rows that had matured before a day, and those of the days from it on."""
        event, end = self.rows["event_time"], begin + timedelta(days=days)
        return self.rows[event < begin - self.use_case.policy.maturity], self.rows[(event >= begin) & (event < end)]

    def judge(self, begin: pd.Timestamp, challenger: _Fit, champion: _Fit) -> Verdict:
        """The verdict on the holdout that begins on a day."""
        train, test = self.split(begin, 28)
        day = test["event_time"].to_numpy("datetime64[D]")
        scored = [
            Scored(
                y=test["label"].to_numpy("float64"),
                p=fit(train, test),
                day=day,
                slices=test[list(self.use_case.policy.slices)].reset_index(drop=True),
                trained_until=train["event_time"].max().to_pydatetime().replace(tzinfo=UTC),
            )
            for fit in (challenger, champion)
        ]
        return decide_verdict(
            question=question_of(self.use_case.label), challenger=scored[0], contract=replay.KEPT, champion=scored[1],
            coverage=replay.all_labelled(day), policy=self.use_case.policy,
        )  # fmt: skip

    def measure(self, fit: _Fit) -> dict[str, Any]:
        """Figures over July to December, each four weeks predicted by a model of all before them."""
        parts = [self.split(begin, 28) for begin in _HOLDOUTS[::4]]
        labels = np.concatenate([test["label"].to_numpy("float64") for _, test in parts])
        scores = np.concatenate([fit(train, test) for train, test in parts])
        return dict(question_of(self.use_case.label).compute_metrics(labels, scores).figures)
