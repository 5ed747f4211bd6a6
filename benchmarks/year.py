"""The whole year: what each window and task costs, and what the rule is worth beside never and every 28 days.

The second part needs no engine: features, splits, gate and rule are the jobs' own, on plain frames.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import report
from benchmarks.loop import _Peak
from benchmarks.replay import KEPT, LAST, all_labelled, year
from laptop import cli
from mlops.modeling import gates, splits
from mlops.modeling.gate_case import Scored
from mlops.monitoring import retraining
from mlops.questions import bootstrap_paired_days, question_of
from usecase import USE_CASE

POLICY, QUESTION = USE_CASE.policy, question_of(USE_CASE.label)
_NAMES = [feature.name for feature in USE_CASE.features]
_FIRST = datetime(2013, 4, 1, tzinfo=UTC)
_LAG = timedelta(days=3)


def main() -> None:
    """Replay the year, print seconds per window and task, then the policies."""
    with tempfile.TemporaryDirectory() as folder:
        peak, start = _Peak(), time.perf_counter()
        if cli.run_args(["demo", "--until", "2013-12-31", "--home", folder]):
            raise SystemExit("the demo failed")
        report("year", "demo", time.perf_counter() - start, "s", better="lower", target=330)
        report("year", "peak_memory", peak.stop() / 2**30, "GiB", better="lower", target=4.0)
        _split(Path(folder))
    policies()


def _split(home: Path) -> None:
    """Seconds per window (named by its as_of), and per task in it."""
    total: dict[tuple[str, str], float] = defaultdict(float)
    windows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for file in (home / "runs").glob("*.json"):
        run = json.loads(file.read_text())
        if run["job"] != "review":  # as of today
            windows[run["parameters"]["as_of"][:10]].append(run)
        for key, task in run["tasks"].items():
            total[run["parameters"]["as_of"][:10], f"{run['job']}.{key}"] += task["duration"]
    for as_of, runs in sorted(windows.items()):
        starts = [datetime.fromisoformat(run["start"]) for run in runs]
        ends = [start + timedelta(seconds=run["duration"]) for start, run in zip(starts, runs, strict=True)]
        trains = any(run["job"] == "training" for run in runs)
        name = f"window {as_of}{', with a training' if trains else ''}"
        target = None if trains else 14
        report("year", name, (max(ends) - min(starts)).total_seconds(), "s", better="lower", target=target)
    for (as_of, task), seconds in sorted(total.items()):
        if seconds > 0.1:
            report("year", f"{as_of} {task}", seconds, "s", better="lower")


def policies() -> None:
    """Print mean monthly AUC and log-loss per policy, and what each saves over never retraining."""
    replay = Replay(year())
    answers = {name: replay.run(due) for name, due in _DUE.items()}
    never, rows = answers["never"][0], replay.scored
    for name, (p, trainings, deployed) in answers.items():
        months = rows.groupby(rows["event_time"].dt.month)
        monthly = [QUESTION.compute_metrics(part["label"], p[part.index]) for _, part in months]
        auc, loss = (float(np.mean([getattr(m, figure) for m in monthly])) for figure in ("ranking", "loss"))
        report("year", f"{name}_auc", auc, "mean of months", better="higher", target=0.740)
        report("year", f"{name}_log_loss", loss, "mean of months", better="lower", target=0.466)
        report("year", f"{name}_trainings", trainings, "trainings", better="lower", target=8)
        report("year", f"{name}_deployed", deployed, "deployments", better="lower")
        if name != "never":
            y, day = rows["label"], rows["event_time"].dt.floor("D")
            kept = {"y": y, "challenger": never[rows.index], "champion": p[rows.index], "day": day}
            _, saved = bootstrap_paired_days(QUESTION, **kept, replicates=1000, seed=0)
            low, high = np.quantile(saved, [0.025, 0.975])
            report("year", f"{name}_saves_low", float(low), "log-loss", better="higher", target=0)
            report("year", f"{name}_saves_high", float(high), "log-loss", better="higher")


Due = Callable[[float, datetime, datetime, datetime], bool]
_DUE: dict[str, Due] = {
    "never": lambda *_: False,
    "every_28_days": lambda *_: True,
    "rule": lambda gap, trained_until, last, as_of: (
        retraining.decide_retraining(
            names=QUESTION.names,
            gap=gap,
            gap_reference=math.nan,
            trained_until=trained_until,
            last_training=last,
            as_of=as_of,
            policy=POLICY,
        ).due
    ),
}


class Replay:
    """The demo's windows over one frame; a model of a moment is fitted once, whatever policy asks for it."""

    def __init__(self, rows: pd.DataFrame) -> None:
        self.rows = rows.reset_index(drop=True)
        windows = USE_CASE.replay
        if windows is None:
            raise SystemExit("the use case declares no replay")
        self.moments = [pd.Timestamp(end + _LAG, tz="UTC").to_pydatetime() for _, end in windows.list_windows(LAST)]
        inside = (self.rows["prediction_time"] > _plain(_FIRST)) & self.rows["label"].notna()
        self.scored = self.rows[inside & (self.rows["prediction_time"] <= _plain(self.moments[-1]))]
        self._models: dict[datetime, Any] = {}

    def run(self, due: Due) -> tuple[np.ndarray[Any, Any], int, int]:
        """Predictions (NaN before the first model), trainings and deployments of one policy."""
        p = np.full(len(self.rows), np.nan)
        champion, last, since, counts = _FIRST, _FIRST, _FIRST, [0, 0]
        for as_of in self.moments:
            self._score(p, champion, since, as_of)
            window = splits.find_matured_window(as_of, POLICY)
            part = self._between(window.start, window.end)
            gap = float(p[part.index].mean() - part["label"].mean())
            if due(gap, splits.split_windows(champion, POLICY).train_until, last, as_of):
                counts[0] += 1
                last = as_of
                if self._is_accepted(as_of, champion):
                    champion, counts[1] = as_of, counts[1] + 1
            since = as_of
        return p, counts[0], counts[1]

    def _score(self, p: np.ndarray[Any, Any], champion: datetime, since: datetime, as_of: datetime) -> None:
        due_rows = (self.rows["prediction_time"] > _plain(since)) & (self.rows["prediction_time"] <= _plain(as_of))
        p[due_rows] = self._model(champion).predict_proba(self.rows.loc[due_rows, _NAMES])[:, 1]

    def _model(self, as_of: datetime) -> Any:
        if as_of not in self._models:
            train = self.rows[self.rows["event_time"] < _plain(splits.split_windows(as_of, POLICY).train_until)]
            train = train[train["label"].notna()].sort_values("flight_id")
            self._models[as_of] = USE_CASE.model.build({}).fit(train[_NAMES], train["label"].astype("int64"))
        return self._models[as_of]

    def _is_accepted(self, challenger: datetime, champion: datetime) -> bool:
        windows = splits.split_windows(challenger, POLICY)
        holdout = self._between(windows.holdout_from, windows.holdout_until)
        challenger_scores, champion_scores = (self._score_rows(holdout, as_of) for as_of in (challenger, champion))
        whole = all_labelled(challenger_scores.day)
        verdict = gates.decide_verdict(
            question=QUESTION,
            challenger=challenger_scores,
            contract=KEPT,
            champion=champion_scores,
            coverage=whole,
            policy=POLICY,
        )
        return verdict.is_accepted

    def _score_rows(self, holdout: pd.DataFrame, as_of: datetime) -> Scored:
        return Scored(
            y=holdout["label"].to_numpy(),
            p=self._model(as_of).predict_proba(holdout[_NAMES])[:, 1],
            day=holdout["event_time"].to_numpy("datetime64[D]"),
            slices=holdout[list(POLICY.slices)],
            trained_until=splits.split_windows(as_of, POLICY).train_until,
        )

    def _between(self, start: datetime, end: datetime) -> pd.DataFrame:
        event = self.rows["event_time"]
        return self.rows[(event >= _plain(start)) & (event < _plain(end)) & self.rows["label"].notna()]


def _plain(moment: datetime) -> pd.Timestamp:
    return pd.Timestamp(moment).tz_localize(None)
