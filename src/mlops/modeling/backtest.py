"""Search parameters, backtest the model against baselines, and render the model card."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.inspection import permutation_importance
from sklearn.model_selection import ParameterGrid, ParameterSampler
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from mlops.config import TrainingConfig
from mlops.context import Context
from mlops.contract import DataError
from mlops.modeling.baselines import fit_baselines
from mlops.modeling.metrics import compute_metrics
from mlops.reports import pages

FOLDS = 3
_SHUFFLED = 2000
"""Number of backtest rows on which importances are measured, in one repeat: cheaper than two repeats on half of it."""
_LINE = 50_000
"""Number of rows that the linear baseline is fitted on: more rows cost time and do not change its 450 coefficients."""
Build = Callable[[Mapping[str, Any]], Pipeline]
Fold = tuple[Any, Any]


@dataclass(frozen=True)
class Backtest:
    """Quality of the model and its baselines on the newest fold of the training days, fitted on the days before."""

    metrics: Mapping[str, float]
    """Figures by `backtest_<model>_<figure>`."""
    plots: Mapping[str, str]
    """SVG by file name."""


def search_parameters(
    job: Context[TrainingConfig], inputs: pd.DataFrame, labels: pd.Series[Any], folds: Sequence[Fold]
) -> Any:
    """Search the parameters with the lowest mean log-loss over the folds; each trial is a run of its own.

    Returns:
        Parameters for `Model.build`; empty without a search, or if no trial is better than the defaults.
    """
    model, trials = job.use_case.model, job.config.search_trials
    if not trials:
        return {}
    count = min(trials, len(ParameterGrid(dict(model.space))))
    tried: list[tuple[float, int, Mapping[str, Any]]] = []
    for parameters in ({}, *ParameterSampler(dict(model.space), count, random_state=model.seed)):
        metrics = [_measure_folds(model.build(parameters), inputs, labels, fold)[1] for fold in folds]
        means = {name: float(np.mean([figures[name] for figures in metrics])) for name in ("log_loss", "auc")}
        with job.registry.open_run(job.config.experiment, f"trial {len(tried)}", {}):
            job.registry.log_to_run(parameters, means, {})
        tried.append((means["log_loss"], len(tried), parameters))
    loss, number, best = min(tried)
    job.log.info("trial %d of %d has the least log-loss, %.4f: %s", number, len(tried), loss, best or "the defaults")
    return best


def run_backtest(
    build: Build, parameters: Mapping[str, Any], inputs: pd.DataFrame, labels: pd.Series[Any], fold: Fold
) -> Backtest:
    """Fit the model and the baselines on the older days of the fold, and measure them on its newest; on one thread."""
    contestants = {"model": build(parameters), **fit_baselines(inputs)}
    answers, metrics = {}, {}
    train, test = fold
    some = _sample_rows(test, _SHUFFLED)
    with threadpool_limits(limits=1):  # OpenMP keeps its limit per thread, and this runs in a thread of its own
        for who, pipeline in contestants.items():
            part = _sample_rows(train, _LINE) if who == "linear" else train
            answers[who], figures = _measure_folds(pipeline, inputs, labels, (part, test))
            metrics.update({f"backtest_{who}_{name}": value for name, value in figures.items()})
        lost = permutation_importance(
            contestants["model"],
            inputs.iloc[some],
            labels.iloc[some],
            scoring="neg_log_loss",
            n_repeats=1,
            random_state=0,
        )
    plots = pages.quality_plots(labels.to_numpy()[test], answers)
    plots["importance"] = pages.importance_plot(dict(zip(inputs.columns, lost.importances_mean, strict=True)))
    return Backtest(metrics, {f"{name}.svg": svg for name, svg in plots.items()})


def _sample_rows(positions: Any, rows: int) -> Any:
    return np.sort(np.random.default_rng(0).choice(positions, min(rows, len(positions)), replace=False))


def _measure_folds(
    pipeline: Pipeline, inputs: pd.DataFrame, labels: pd.Series[Any], fold: Fold
) -> tuple[np.ndarray[Any, Any], dict[str, float]]:
    train, test = fold
    if labels.iloc[train].nunique() < 2:
        raise DataError(f"all {len(train)} rows of the oldest days have the same label: land more days")
    answers = pipeline.fit(inputs.iloc[train], labels.iloc[train]).predict_proba(inputs.iloc[test])[:, 1]
    return answers, asdict(compute_metrics(labels.iloc[test], answers))
