"""Judge the responses of an endpoint to a version's own input example."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlops.platform.endpoints import Answer
from mlops.serving.rollout import find_latency_fault

CALLS = 5
"""Number of timed requests. One untimed request is sent before them, since it may start a machine."""


def find_faults(expected: Any, answers: Sequence[Answer], version: int, latency_ms: int) -> list[str]:
    """List what is wrong with an endpoint's answers, one sentence each; empty: it serves the version.

    Args:
        expected: predictions of the version's inspected files for the same rows.
        answers: the responses to the timed requests.
        version: the version that should have answered.
        latency_ms: limit of the median time of a request.
    """
    faults = []
    others = sorted({answer.version for answer in answers if answer.version not in {None, version}}, key=str)
    if others:
        faults.append(f"version {', '.join(map(str, others))} answered, not version {version}")
    faults += sorted({describe_difference(np.asarray(expected), answer.predictions) for answer in answers} - {""})
    median = float(np.median([answer.seconds for answer in answers])) * 1000
    return faults + find_latency_fault(median, latency_ms)


def describe_difference(expected: np.ndarray[Any, Any], predictions: Any) -> str:
    """Describe how an endpoint's predictions differ from those of the version's files; empty: they are equal."""
    try:
        given = np.asarray(predictions, dtype=float)
    except (TypeError, ValueError):
        return f"the predictions are no numbers: {str(predictions)[:100]}"
    if given.shape != expected.shape:
        return f"the predictions have shape {given.shape}, those of the files {expected.shape}"
    if not np.isfinite(given).all():
        return "a prediction is not finite"
    if not np.allclose(given, expected, rtol=1e-6, atol=1e-9):
        return f"a prediction differs by {np.abs(given - expected).max():.3g} from that of the files"
    return ""
