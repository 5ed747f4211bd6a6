"""What the model is worth: AUC and log-loss per test month, beside the same without history and a constant.

Each model is trained on all flights before the month whose outcome was known by then. Features are made by the engine
of `mlops.data.point_in_time` from the whole sample; no platform is in between.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
from sklearn.metrics import log_loss, roc_auc_score
from threadpoolctl import threadpool_limits

from benchmarks import report
from benchmarks.bare import frames
from mlops.data.point_in_time import columns_read, compute_features
from usecase import USE_CASE

_MONTHS = (3, 5, 7, 9, 10, 12)
_HISTORY = {"departures", "outcomes"}


def main() -> None:
    """Print mean AUC and log-loss over the test months, and the AUC of each."""
    rows = _rows()
    everything = [feature.name for feature in USE_CASE.features]
    without = [
        f.name for f in USE_CASE.features if not _HISTORY & set(columns_read(USE_CASE.entity, [f], USE_CASE.sources))
    ]
    for name, columns in (("full", everything), ("no_history", without), ("constant", [])):
        scores = {month: _score(rows, month, columns) for month in _MONTHS}
        targets = (0.748, 0.452) if name == "full" else (None, None)
        auc, loss = np.mean(list(scores.values()), axis=0)
        report("quality", f"{name}_auc", auc, "", better="higher", target=targets[0])
        report("quality", f"{name}_log_loss", loss, "nats", better="lower", target=targets[1])
        for month, (of_month, _) in scores.items():
            report("quality", f"{name}_auc_month_{month:02d}", of_month, "", better="higher")


def _rows() -> pd.DataFrame:
    """Features of every flight with an arrival delay, which is added with the moment it was reported."""
    world = frames(date(2012, 12, 31), date(2014, 1, 2))
    table = compute_features(USE_CASE.entity, USE_CASE.features, USE_CASE.sources, world["schedule"], world)
    outcomes = world["outcomes"].dropna(subset=["arrival_delay"])
    return table.merge(outcomes[["flight_id", "arrival_delay", "reported_at"]], on="flight_id")


def _score(rows: pd.DataFrame, month: int, columns: list[str]) -> tuple[float, float]:
    """AUC and log-loss of one month of 2013; no column: the base rate of the days before."""
    starts = pd.Timestamp(2013, month, 1)
    test = rows[(rows["event_time"] >= starts) & (rows["event_time"] < starts + pd.offsets.MonthBegin())]
    train = rows[rows["reported_at"] < starts].sort_values("flight_id")
    late, truth = ((frame["arrival_delay"] > 15).astype("int64") for frame in (train, test))
    answers = np.full(len(test), late.mean())
    if columns:
        with threadpool_limits(limits=1):
            answers = USE_CASE.model.build({}).fit(train[columns], late).predict_proba(test[columns])[:, 1]
    return float(roc_auc_score(truth, answers)), float(log_loss(truth, answers))
