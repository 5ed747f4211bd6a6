"""Measures how often the gate errs, on challengers of known quality and sliding holdouts of the second half-year.

Each holdout has 28 days and begins a week after the one before, so holdouts overlap and their verdicts are not
independent; each is also drawn again from its own days, with replacement. Wilson's interval of the counts assumes
independence, so the true interval is wider. The last figure is the seconds of a validation task on 50,000 rows.
"""

from __future__ import annotations

import itertools
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from benchmarks import replay, report
from mlops.contract import Verdict
from mlops.contract.model_version import VersionFacts
from mlops.modeling.gate_case import Scored
from mlops.modeling.gates import decide_verdict
from mlops.questions import question_of
from usecase import USE_CASE

DRAWS = 2
"""Of each holdout, besides itself."""
QUESTION = question_of(USE_CASE.label)
_NAMES = [feature.name for feature in USE_CASE.features]
_BEGIN, _STALE = pd.Timestamp("2013-06-23"), pd.Timestamp("2013-04-01")
_FIRST, _LAST = pd.Timestamp("2013-07-01"), pd.Timestamp("2013-12-31")
_PURGED = pd.Timedelta(days=2)


def main() -> None:
    """Print acceptance rates with their intervals, and the seconds of one validation."""
    year = Year()
    pairs: dict[str, tuple[_Answers, _Answers, float, bool]] = {
        "tie": (year.seed(1), year.champion, 0.0, True),
        "tuned": (year.fitted(parameters={"max_iter": 360, "learning_rate": 0.02}), year.champion, 0.95, True),
        "full_against_a_fifth": (year.champion, year.fifth(1), 0.0, True),
        "fresh_against_stale": (year.fresh, year.stale, 0.85, True),
        "stale": (year.stale, year.fresh, 0.0, False),
        "a_fifth": (year.fifth(1), year.champion, 0.0, False),
        "another_fifth": (year.fifth(2), year.champion, 0.0, False),
        "no_departures": (year.without(list_departures()), year.champion, 0.0, False),
        "label_noise": (year.noisy(0.15), year.champion, 0.0, False),
    }
    verdicts = {name: _decide_verdicts(year, *pair[:2]) for name, pair in pairs.items()}
    for name, (challenger, champion, target, good) in pairs.items():
        auc, loss = _compare_quality(year, challenger, champion)
        refusals = Counter(rule.name for verdict in verdicts[name] for rule in verdict.rules if not rule.passed)
        print(f"# {name}: AUC {auc:+.4f}, log-loss {loss:+.4f} over the half year; refused by {dict(refusals)}")
        better: Literal["higher", "lower"] = "higher" if good else "lower"
        for what, some_verdicts in (("", verdicts[name][:: DRAWS + 1]), ("_with_draws", verdicts[name])):
            hits = sum(verdict.is_accepted for verdict in some_verdicts)
            low, high = _wilson(hits, len(some_verdicts))
            print(f"# {name}{what}: {hits} of {len(some_verdicts)} accepted, 95 % interval {low:.2f} to {high:.2f}")
            wanted = target if target or not good else None
            report("gates", f"accepted_{name}{what}", hits / len(some_verdicts), "share", better=better, target=wanted)
    _print_frontier({name: some_verdicts[:: DRAWS + 1] for name, some_verdicts in verdicts.items()})
    report("gates", "validation_50000_rows", _time_validation(year), "s", better="lower", target=15.0)


_Answers = Callable[[pd.Timestamp], "pd.Series[float]"]
"""From the first day of a holdout to predictions of all rows by the model that would stand there then."""


def list_departures() -> list[str]:
    """List the features that are made of departures' delays."""
    return [f.name for f in USE_CASE.features if f.known_from.startswith("the report of each departure")]


class Year:
    """Features and labels of all matured flights of 2013, and the models that are compared on them."""

    @cached_property
    def rows(self) -> pd.DataFrame:
        """By flight: flight_id, event_time, prediction_time, the features, label."""
        return replay.year().dropna(subset="label").sort_values("flight_id", ignore_index=True)

    def fitted(
        self,
        until: pd.Timestamp = _BEGIN,
        *,
        parameters: Mapping[str, Any] | None = None,
        settle: Callable[[Pipeline], object] = lambda pipeline: pipeline,
        spoil: Callable[[pd.DataFrame], pd.DataFrame] = lambda rows: rows,
        blind: list[str] | None = None,
    ) -> _Answers:
        """A model of everything before a day, or of a spoilt part of it; `blind`: features that it never gets."""
        train = spoil(self.rows[self.rows["event_time"] < until])
        hidden: dict[str, Any] = dict.fromkeys(blind or [], np.nan)
        pipeline = USE_CASE.model.build(parameters or {})
        settle(pipeline)
        pipeline.fit(train[_NAMES].assign(**hidden), train["label"].astype("int64"))
        judged = self.rows[self.rows["event_time"] >= _FIRST]
        answers = pd.Series(pipeline.predict_proba(judged[_NAMES].assign(**hidden))[:, 1], judged.index)
        return lambda _: answers

    def seed(self, seed: int) -> _Answers:
        """The champion's twin: another random state."""
        return self.fitted(settle=lambda pipeline: pipeline.set_params(trees__random_state=seed))

    def fifth(self, seed: int) -> _Answers:
        """Fitted on every fifth flight or so."""
        return self.fitted(spoil=lambda rows: rows.sample(frac=0.2, random_state=seed).sort_index())

    def without(self, names: list[str]) -> _Answers:
        """Fitted and asked without some features."""
        return self.fitted(blind=names)

    def noisy(self, share: float) -> _Answers:
        """Fitted on labels of which a share is wrong."""

        def spoil(rows: pd.DataFrame) -> pd.DataFrame:
            wrong = np.random.default_rng(0).random(len(rows)) < share
            return rows.assign(label=np.where(wrong, 1 - rows["label"], rows["label"]))

        return self.fitted(spoil=spoil)

    @cached_property
    def champion(self) -> _Answers:
        """Fitted on everything before the holdouts."""
        return self.fitted()

    @cached_property
    def stale(self) -> _Answers:
        """Fitted on the first quarter."""
        return self.fitted(_STALE)

    @cached_property
    def fresh(self) -> _Answers:
        """Fitted anew every four weeks on all that had matured."""
        begins = pd.date_range(_FIRST, _LAST - timedelta(days=28), freq="28D")
        models = {begin: self.fitted(begin - _PURGED) for begin in begins}
        return lambda day: models[max(begin for begin in begins if begin <= day)](day)

    @cached_property
    def holdouts(self) -> list[Holdout]:
        """Sliding weeks; each is followed by its draws."""
        event = self.rows["event_time"].to_numpy("datetime64[D]")
        holdouts = []
        for number, begin in enumerate(pd.date_range(_FIRST, _LAST - timedelta(days=27), freq="7D")):
            days = np.arange(28) + np.datetime64(begin, "D")
            generator = np.random.default_rng(number)
            for drawn in [days, *(generator.choice(days, 28) for _ in range(DRAWS))]:
                parts = [np.flatnonzero(event == day) for day in drawn]
                labels = np.repeat(days, [len(part) for part in parts])
                holdouts.append(Holdout(begin, np.concatenate(parts), labels))
        return holdouts


@dataclass(frozen=True)
class Holdout:
    """Rows of 28 days that judge."""

    begin: pd.Timestamp
    rows: np.ndarray[Any, Any]
    """Positions; a day drawn twice stands there twice."""
    day: np.ndarray[Any, Any]


def _decide_verdicts(year: Year, challenger: _Answers, champion: _Answers) -> list[Verdict]:
    """Of each holdout, its draws behind it."""
    return [
        decide_verdict(
            question=QUESTION,
            challenger=score_holdout(year, challenger, holdout),
            contract=replay.KEPT,
            champion=score_holdout(year, champion, holdout),
            coverage=replay.all_labelled(holdout.day),
            policy=USE_CASE.policy,
        )
        for holdout in year.holdouts
    ]


def _compare_quality(year: Year, challenger: _Answers, champion: _Answers) -> tuple[float, float]:
    """Challenger minus champion over all holdouts without their overlap, in AUC and log-loss."""
    parts = [holdout for holdout in year.holdouts[:: DRAWS + 1] if (holdout.begin - _FIRST).days % 28 == 0]
    rows = year.rows["label"].iloc[np.concatenate([part.rows for part in parts])].to_numpy()
    metrics = [
        QUESTION.compute_metrics(rows, np.concatenate([score_holdout(year, answers, part).p for part in parts]))
        for answers in (challenger, champion)
    ]
    return metrics[0].ranking - metrics[1].ranking, metrics[0].loss - metrics[1].loss


def _print_frontier(verdicts: Mapping[str, list[Verdict]]) -> None:
    """How many would be accepted with other margins against the champion; all other rules as they are."""
    against = ("non_inferior_auc", "non_inferior_log_loss")
    print(f"# accepted of {len(verdicts['tie'])} with other margins (AUC, log-loss): {', '.join(verdicts)}")
    for auc, loss in itertools.product((0.002, 0.005, 0.01, 1.0), (0.0, 0.001, 0.002, 0.004, 0.008)):
        counts = []
        for case_verdicts in verdicts.values():
            rules = [{rule.name: rule for rule in verdict.rules} for verdict in case_verdicts]
            counts.append(
                sum(
                    all(rule.passed for name, rule in by_name.items() if name not in against)
                    and (by_name[against[0]].value or 0) >= -auc
                    and (by_name[against[1]].value or 0) <= loss
                    for by_name in rules
                )
            )
        print(f"# {auc} {loss}: {counts}")


def score_holdout(year: Year, answers: _Answers, holdout: Holdout) -> Scored:
    """Score the rows of a holdout by the model that would stand there then."""
    rows = year.rows.iloc[holdout.rows]
    return Scored(
        y=rows["label"].to_numpy(),
        p=answers(holdout.begin).loc[rows.index].to_numpy(),
        day=holdout.day,
        slices=rows[list(USE_CASE.policy.slices)],
        trained_until=(holdout.begin - _PURGED).to_pydatetime().replace(tzinfo=UTC),
    )


def _wilson(hits: int, cases: int, z: float = 1.96) -> tuple[float, float]:
    middle = (hits + z * z / 2) / (cases + z * z)
    half = z * np.sqrt(hits * (cases - hits) / cases + z * z / 4) / (cases + z * z)
    return max(0.0, middle - half), min(1.0, middle + half)


def _time_validation(year: Year) -> float:
    """Seconds of the task on 50,000 rows beside a champion, tables read and report written; Spark is up before."""
    from laptop import spark as server
    from mlops import config
    from mlops.context import Context
    from mlops.data import table_schemas
    from mlops.jobs import validation
    from mlops.platform import runtime

    rows = year.rows[year.rows["event_time"] < _FIRST].tail(50_000)
    days = len(np.unique(rows["event_time"].to_numpy("datetime64[D]"))) + 1
    use_case = replace(USE_CASE, policy=replace(USE_CASE.policy, holdout=timedelta(days=days)))
    train = year.rows[year.rows["event_time"] < rows["event_time"].min() - _PURGED]
    pipeline = USE_CASE.model.build({}).fit(train[_NAMES], train["label"].astype("int64"))
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"LAPTOP_HOME": folder, "LAPTOP_IDENTITY": "benchmark"}
        server.start_server(Path(folder) / "spark", lambda _: None)
        runtime.set_task_value = lambda *_: None
        given = {
            "job": "validation", "run_id": "1", "as_of": "2013-07-03T00:00:00Z", "catalog": "b", "schema": "b",
            "data_catalog": "b", "data_schema": "b", "model_name": "b.b.model", "experiment": "/b",
            "model_version": "2",
        }  # fmt: skip
        job = Context(config.parse_arguments([f"--{name}={value}" for name, value in given.items()]), use_case)
        table_schemas.create_source(job.own, use_case.source("outcomes"), {})
        table_schemas.create_features(job.own, use_case)
        frame = job.own.spark.createDataFrame(rows.drop(columns="label").assign(batch=1))
        job.own.insert_new("features", frame, ["flight_id", "prediction_time"])
        ended = rows[["flight_id"]].assign(
            arrival_delay=np.where(rows["label"] == 1, 60, 0), reported_at=rows["event_time"]
        )
        job.own.insert_new("outcomes", job.own.spark.createDataFrame(ended), ["flight_id"])
        facts = VersionFacts(trained_until=train["event_time"].max().to_pydatetime().replace(tzinfo=UTC))
        for _ in range(2):
            with job.registry.open_run("/b", "training", {}):
                version = job.registry.register_model(
                    "b.b.model", pipeline, rows[_NAMES].head(5), method=QUESTION.method,
                    trusted_types=USE_CASE.model.trusted_types, requirements=["skops==0.16.0"], facts=facts, tags={},
                )  # fmt: skip
            if version.number == 1:
                job.registry.set_alias(version, "champion")
        start = time.perf_counter()
        validation.run(job)
        seconds = time.perf_counter() - start
        print(f"# {job.registry.get_version('b.b.model', 2).description}")
        server.stop_server()
    return seconds
