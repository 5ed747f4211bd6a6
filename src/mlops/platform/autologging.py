"""Autolog one fit: MLflow's settings, what Databricks sets them to, and what this project does.

Databricks switches autologging on in interactive notebooks on classic ML clusters only: not on serverless compute, not
in jobs. Here one call does it everywhere, and the table says each setting.
"""

from __future__ import annotations

import importlib.metadata
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

_LOG = logging.getLogger(__name__)
_FLAVOR = "sklearn"
"""The one flavour of MLflow that logs: every model of a use case is a pipeline of scikit-learn, whatever is in it."""


@dataclass(frozen=True)
class Setting:
    """One argument of MLflow's `autolog`."""

    databricks: bool
    """Value that Databricks uses where it switches autologging on; MLflow's default where Databricks says none."""
    here: bool
    captures: str
    """What it captures or does if it is true, and why this project has another value, if it has."""


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

    Inside, nothing else may be fitted, in another thread neither: MLflow keeps one autologging session per process, so
    that of two fits at a time one is lost, and a fit in a thread without an open run opens a run of its own.
    """
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
