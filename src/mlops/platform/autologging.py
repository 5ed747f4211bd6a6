"""Autolog one fit: MLflow's settings, and their values on Databricks and in this project.

Databricks switches autologging on only in interactive notebooks on classic ML clusters, not on serverless compute and
not in jobs. `autolog_fit` switches it on everywhere, with the settings of `SETTINGS`.
"""

from __future__ import annotations

import importlib.metadata
import logging
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

_TURN = threading.Condition()
_OPEN: Counter[str] = Counter()
"""Number of open fits of this process, by their switch. A laptop runs tasks in threads of one process."""
_LOG = logging.getLogger(__name__)
_FLAVOR = "sklearn"
"""The only flavour of MLflow that is switched on: every model of a use case is a scikit-learn pipeline."""


@dataclass(frozen=True)
class Setting:
    """One argument of MLflow's `autolog`."""

    databricks: bool
    """Value that Databricks uses where it switches autologging on; MLflow's default where Databricks documents none."""
    here: bool
    captures: str
    """What MLflow captures or does if it is true, and why this project sets another value, if it does."""


SETTINGS: Mapping[str, Setting] = {
    "disable": Setting(False, False, "Stops all autologging."),
    "exclusive": Setting(False, False, "Logs nothing into runs that the code has opened itself, as every task does."),
    "disable_for_unsupported_versions": Setting(
        True, True, "Logs nothing of a scikit-learn that this MLflow was not tested with; a warning names the version."
    ),
    "silent": Setting(False, False, "Hides MLflow's warnings about what could not be logged."),
    "log_models": Setting(
        True, False, "Logs the fitted model as a pickle. The task logs it itself, as skops: a run has one model."
    ),
    "log_input_examples": Setting(
        False, False, "Keeps the first rows beside the model. The task's own model has them."
    ),
    "log_model_signatures": Setting(
        True, True, "Infers the inputs and outputs of the models that it logs, so of none here."
    ),
    "log_datasets": Setting(
        True, False, "Logs the training frame as an input without a source. The task logs tables and versions."
    ),
    "log_post_training_metrics": Setting(
        True,
        False,
        "Logs each metric of scikit-learn that is called later. It writes the run into the model: another digest.",
    ),
}
"""The arguments of `mlflow.sklearn.autolog` that are true or false. Always captured: all parameters of the pipeline and
its steps, class and name of the estimator, its picture as HTML, and metrics and curves on the training rows."""


def explain_unsupported() -> str:
    """Say that MLflow does not know the installed scikit-learn; "" if it does."""
    from mlflow.utils.autologging_utils import versioning

    if versioning.is_flavor_supported_for_associated_package_versions(_FLAVOR):  # type: ignore[no-untyped-call]
        return ""
    oldest, newest, package = versioning.get_min_max_version_and_pip_release(_FLAVOR)
    return (
        f"autologging logs nothing: {package} {importlib.metadata.version(package)} is installed, and "
        f"MLflow {importlib.metadata.version('mlflow')} knows {oldest} to {newest}"
    )


@contextmanager
def autolog_fit(switch: str) -> Iterator[None]:
    """Log what is fitted inside into the open run; switch "off": log nothing.

    What is fitted inside is one fit, which may fit others in its threads. A fit that is logged waits until no other is
    open in this process, and others wait for it.
    """
    with _take_turn(switch):
        if switch == "off":
            yield
            return
        import mlflow

        if problem := explain_unsupported():
            _LOG.warning("%s", problem)
        mlflow.sklearn.autolog(**{name: setting.here for name, setting in SETTINGS.items()})
        try:
            yield
        finally:
            mlflow.sklearn.autolog(disable=True)


@contextmanager
def _take_turn(switch: str) -> Iterator[None]:
    """Let a fit that is logged run alone in this process, and other fits at the same time.

    MLflow keeps one autologging session per process: of two simultaneous fits it loses one, and for a fit in a thread
    without an open run it opens a run.
    """
    with _TURN:
        _TURN.wait_for(lambda: not _OPEN["on"] and (switch == "off" or not _OPEN["off"]))
        _OPEN[switch] += 1
    try:
        yield
    finally:
        with _TURN:
            _OPEN[switch] -= 1
            _TURN.notify_all()
