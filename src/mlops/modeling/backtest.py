"""Search parameters, fit the model, and backtest it against baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from sklearn.inspection import permutation_importance
from sklearn.model_selection import ParameterGrid, ParameterSampler
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from mlops.config import TrainingConfig
from mlops.context import Context
from mlops.contract import UseCase
from mlops.data import training_sample
from mlops.data.sample_plan import SamplePlan
from mlops.modeling import splits
from mlops.modeling.baselines import make_baselines
from mlops.modeling.fitting import fit_pipeline
from mlops.platform import autologging
from mlops.questions import Array, Question, question_of
from mlops.reports import charts

FOLDS = 3
_SHUFFLED = 2000
"""Number of backtest rows on which importances are measured, in one repeat: cheaper than two repeats on half of it."""
_LINE = 50_000
"""Number of rows that the linear baseline is fitted on: more rows cost time and do not change its 450 coefficients."""
Fold = tuple[Any, Any]


@dataclass(frozen=True)
class Backtest:
    """Quality of the model and its baselines on the newest fold of the training days, fitted on the days before."""

    metrics: Mapping[str, float]
    """Figures by `backtest_<model>_<figure>`."""
    plots: Mapping[str, str]
    """SVG by file name."""


def split_training_rows(use_case: UseCase, rows: pd.DataFrame, plan: SamplePlan | None) -> tuple[Fold, ...]:
    """Split the rows in time; tests are on rows that were sampled alike, so that figures need no weights."""
    folds = splits.split_folds(rows["event_time"].to_numpy(), use_case.policy, FOLDS)
    if plan is None:
        return folds
    alike = (rows[training_sample.BUCKET] < plan.common_bound).to_numpy()
    return tuple((train, test[alike[test]]) for train, test in folds)


def search_parameters(
    job: Context[TrainingConfig],
    inputs: pd.DataFrame,
    labels: pd.Series[Any],
    folds: Sequence[Fold],
    *,
    weights: Array | None = None,
) -> Any:
    """Search the parameters with the lowest mean loss over the folds; each trial is a run of its own.

    Returns:
        Parameters for `Model.build`; empty without a search, or if no trial is better than the defaults.
    """
    model, trials, question = job.use_case.model, job.config.search_trials, question_of(job.use_case.label)
    names = question.names
    if not trials:
        return {}
    count = min(trials, len(ParameterGrid(dict(model.space))))
    tried: list[tuple[float, int, Mapping[str, Any]]] = []
    for parameters in ({}, *ParameterSampler(dict(model.space), count, random_state=model.seed)):
        with autologging.autolog_fit("off"):
            metrics = [
                _measure_fold(question, model.build(parameters), inputs, labels, fold, weights=weights)[1]
                for fold in folds
            ]
        means = {name: float(np.mean([figures[name] for figures in metrics])) for name in (names.loss, names.ranking)}
        with job.registry.open_run(job.config.experiment, f"trial {len(tried)}", {}):
            job.registry.log_to_run(parameters, means, {})
        tried.append((means[names.loss], len(tried), parameters))
    loss, number, best = min(tried)
    words = f"trial {number} of {len(tried)} has the least {names.loss_words}, {loss:.4f}"
    job.log.info("%s: %s", words, best or "the defaults")
    return best


def fit_with_backtest(
    job: Context[TrainingConfig],
    parameters: Mapping[str, Any],
    inputs: pd.DataFrame,
    labels: pd.Series[Any],
    fold: Fold,
    *,
    weights: Array | None,
) -> tuple[Pipeline, Backtest]:
    """Fit the model on all rows, and measure it on the newest fold: at the same time, unless the fit is autologged."""
    if job.config.autologging == "on":
        with autologging.autolog_fit("on"):
            pipeline = fit_pipeline(job.use_case.model.build(parameters), inputs, labels, weights)
        with autologging.autolog_fit("off"):
            study = run_backtest(job.use_case, parameters, inputs, labels, fold, weights=weights)
    else:
        # A thread and not a process, which would hold the rows a second time.
        with autologging.autolog_fit("off"), ThreadPoolExecutor(1) as pool:
            backtest = pool.submit(run_backtest, job.use_case, parameters, inputs, labels, fold, weights=weights)
            pipeline = fit_pipeline(job.use_case.model.build(parameters), inputs, labels, weights)
        study = backtest.result()
    log_baseline(job, study)
    return pipeline, study


def run_backtest(
    use_case: UseCase,
    parameters: Mapping[str, Any],
    inputs: pd.DataFrame,
    labels: pd.Series[Any],
    fold: Fold,
    *,
    weights: Array | None = None,
) -> Backtest:
    """Fit the model and the baselines on the older days of the fold, and measure them on its newest; on one thread."""
    question = question_of(use_case.label)
    contestants = {"model": use_case.model.build(parameters), **make_baselines(question, inputs)}
    answers, metrics = {}, {}
    train, test = fold
    some = _sample_rows(test, _SHUFFLED)
    with threadpool_limits(limits=1):  # OpenMP keeps its limit per thread, and this runs in a thread of its own
        for who, pipeline in contestants.items():
            part = _sample_rows(train, _LINE) if who == "linear" else train
            answers[who], figures = _measure_fold(question, pipeline, inputs, labels, (part, test), weights=weights)
            metrics.update({f"backtest_{who}_{name}": value for name, value in figures.items()})
        lost = permutation_importance(
            contestants["model"],
            inputs.iloc[some],
            labels.iloc[some],
            scoring=partial(_score_negative_loss, question),
            n_repeats=1,
            random_state=0,
        )
    plots = charts.quality_plots(question.draw_curves(labels.to_numpy("float64")[test], answers))
    importances = dict(zip(inputs.columns, lost.importances_mean, strict=True))
    plots["importance"] = charts.importance_plot(importances, question.names.loss_words)
    return Backtest(metrics, {f"{name}.svg": plot.svg for name, plot in plots.items()})


def log_baseline(job: Context[TrainingConfig], study: Backtest) -> None:
    """Log the figures of the model beside those of the linear baseline; warn where the baseline loses less."""
    names = question_of(job.use_case.label).names
    model, linear = (
        [study.metrics[f"backtest_{who}_{name}"] for name in (names.ranking, names.loss)] for who in ("model", "linear")
    )
    words = (names.ranking_words, names.loss_words)
    figures = ", ".join(f"{w} {a:.4f} (linear {b:.4f})" for w, a, b in zip(words, model, linear, strict=True))
    job.log.info("fitted without the newest quarter of its days, the model has there: %s", figures)
    if linear[1] < model[1]:
        job.log.warning(
            "the linear baseline is better than the model: its %s is %.4f, the model's %.4f; try gentler parameters, "
            "as fewer leaves and a smaller learning rate, or a linear model", names.loss_words, linear[1], model[1],
        )  # fmt: skip


def _score_negative_loss(question: Question, pipeline: Pipeline, inputs: pd.DataFrame, labels: pd.Series[Any]) -> float:
    """Mean loss, negative.

    (Rejected: scikit-learn's scorers, which fail where a rare class is not in the sample.)
    """
    scores = question.predict_scores(pipeline, inputs)
    return -float(question.row_losses(labels.to_numpy("float64"), scores).mean())


def _sample_rows(positions: Any, rows: int) -> Any:
    return np.sort(np.random.default_rng(0).choice(positions, min(rows, len(positions)), replace=False))


def _measure_fold(
    question: Question,
    pipeline: Pipeline,
    inputs: pd.DataFrame,
    labels: pd.Series[Any],
    fold: Fold,
    *,
    weights: Array | None,
) -> tuple[Array, dict[str, float]]:
    train, test = fold
    question.check_training(labels.iloc[train], "of the oldest days")
    fit_pipeline(pipeline, inputs.take(train), labels.iloc[train], None if weights is None else weights[train])
    scores = question.predict_scores(pipeline, inputs.take(test))
    return scores, dict(question.compute_metrics(labels.iloc[test], scores).figures)
