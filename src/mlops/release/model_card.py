"""Render the model card, which the registry shows as a version's description."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlops.config import TrainingConfig
from mlops.context import Context
from mlops.modeling.backtest import Backtest
from mlops.release.version_record import TrainingRun


def render_model_card(
    job: Context[TrainingConfig], study: Backtest, facts: TrainingRun, rows: int, parameters: Mapping[str, Any]
) -> str:
    """Render the model card as Markdown: question, data, quality and how to train the model again."""
    use_case, metrics = job.use_case, study.metrics
    hours = use_case.entity.lead.total_seconds() / 3600
    lines = [
        f"| {who} | {metrics[f'backtest_{who}_auc']:.4f} | {metrics[f'backtest_{who}_log_loss']:.4f} |"
        for who in ("model", "linear", "dummy")
    ]
    again = " ".join(
        f"-p {name}={value}"
        for name, value in {
            "as_of": job.config.as_of.isoformat(),
            "table_versions": facts.table_versions,
            "search_trials": facts.search_trials,
        }.items()
    )
    return "\n".join(
        [
            f"{use_case.question} Predicted {hours:g} hours before the event, as a probability.",
            "",
            (
                f"Trained on {rows:,} rows until {facts.trained_until:%Y-%m-%d}, of {len(use_case.features)} features; "
                f"tables {facts.table_versions}; parameters: {dict(parameters) or 'those of the use case'}."
            ),
            "",
            "On the newest quarter of those days, fitted on the rest:",
            "",
            "| | AUC | log-loss |",
            "|---|---|---|",
            *lines,
            "",
            (
                "Do not use it for other events, or at another time before the event. Its run holds calibration, "
                "precision over recall, feature importances and the installed packages."
            ),
            "",
            (
                f"To train it again: commit `{facts.git_commit}`, job training, `{again}`; "
                f"the model digest is then `{facts.model_digest}`."
            ),
        ]
    )
