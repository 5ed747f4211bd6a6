"""Render the model card, which the registry shows as a version's description."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlops.config import TrainingConfig
from mlops.context import Context
from mlops.modeling.backtest import Backtest
from mlops.questions import FigureNames, question_of
from mlops.release.version_record import TrainingRun


def render_model_card(
    job: Context[TrainingConfig],
    study: Backtest,
    facts: TrainingRun,
    *,
    rows: int,
    parameters: Mapping[str, Any],
    unjudged: Sequence[str],
) -> str:
    """Render the model card as Markdown: question, data, quality and how to train the model again.

    Args:
        job: training.
        study: the backtest.
        facts: facts of the version.
        rows: number of rows that it was trained on.
        parameters: parameters of the model that differ from the defaults.
        unjudged: limits that gate and monitoring can never judge at this volume, one sentence each.
    """
    use_case, question = job.use_case, question_of(job.use_case.label)
    sampled = f" They are a sample: {facts.training_sample}, by the hash of the key." if facts.training_sample else ""
    hours = use_case.entity.lead.total_seconds() / 3600
    return "\n".join(
        [
            f"{use_case.question} Predicted {hours:g} hours before the event, as {question.answer}.",
            "",
            (
                f"Trained on {rows:,} rows until {facts.trained_until:%Y-%m-%d}, of {len(use_case.features)} features; "
                f"tables {facts.table_versions}; parameters: {dict(parameters) or 'those of the use case'}.{sampled}"
            ),
            "",
            "On the newest quarter of those days, fitted on the rest:",
            "",
            *_render_quality(question.names, study.metrics),
            "",
            *(f"Too few rows: {sentence}.\n" for sentence in unjudged),
            (
                "Do not use it for other events, or at another time before the event. Its run holds plots "
                "of its quality, feature importances and the installed packages."
            ),
            "",
            _describe_repeat(job, facts),
        ]
    )


def _render_quality(names: FigureNames, metrics: Mapping[str, float]) -> list[str]:
    lines = [
        f"| {who} | {metrics[f'backtest_{who}_{names.ranking}']:.4f} | {metrics[f'backtest_{who}_{names.loss}']:.4f} |"
        for who in ("model", "linear", "dummy")
    ]
    return [f"| | {names.ranking_words} | {names.loss_words} |", "|---|---|---|", *lines]


def _describe_repeat(job: Context[TrainingConfig], facts: TrainingRun) -> str:
    again = " ".join(
        f"-p {name}={value}"
        for name, value in {
            "as_of": job.config.as_of.isoformat(),
            "table_versions": facts.table_versions,
            "search_trials": facts.search_trials,
        }.items()
    )
    return (
        f"To train it again: commit `{facts.git_commit}`, job training, `{again}`; the model digest is then "
        f"`{facts.model_digest}`."
    )
