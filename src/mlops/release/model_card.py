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
            f"**{use_case.question}** Answered {use_case.entity.lead} before the event, as a probability.",
            "",
            (
                f"Trained on {rows:,} rows until {facts.trained_until:%Y-%m-%d}, of {len(use_case.features)} features; "
                f"tables {facts.table_versions}; parameters {dict(parameters) or 'as the use case has them'}."
            ),
            "",
            "On the newest quarter of those days, fitted on the rest:",
            "",
            "| | AUC | log-loss |",
            "|---|---|---|",
            *lines,
            "",
            (
                "Not for events of another kind, or asked at another moment, than it was trained on. Its run holds "
                "calibration, precision over recall, importances and what was installed."
            ),
            "",
            (
                f"To train it again: commit `{facts.git_commit}`, job training, `{again}`; "
                f"the model digest is then `{facts.model_digest}`."
            ),
        ]
    )
