"""Score a version that is not accepted yet in a separate, limited process; if that crashes, the gate refuses.

Its files were scanned before, but compiled code can still read foreign memory, loop for ever or take all memory. The
process returns numbers and JSON; nothing that it writes is unpickled.
"""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mlops.contract import Label, Model, ModelError, UntrustedModel, UseCase
from mlops.contract.model_version import Version, require_fact
from mlops.data.predictions import model_input, select_features
from mlops.modeling import serving_checks
from mlops.modeling.gate_case import ServingChecks
from mlops.platform import model_scan
from mlops.platform.registry import Registry
from mlops.questions import question_of

_MEMORY = 8 * 2**30
"""Limit of address space, bytes: several times what the largest model file and a holdout take."""
_SECONDS = 600
"""Limit of wall time, and of processor time of all threads; the sample's model needs 3 s."""
_BY_NAME = {"ModelError": ModelError, "UntrustedModel": UntrustedModel}


@dataclass(frozen=True, eq=False)
class Trial:
    """The scores and the serving checks of a version."""

    p: np.ndarray[Any, Any]
    """Scores, shape (n_rows,), or (n_rows, n_classes) for the kind classes."""
    contract: ServingChecks | Exception


def run_trial(registry: Registry, version: Version, use_case: UseCase, rows: pd.DataFrame) -> Trial:
    """Score rows with a version, and run its serving checks, in a process of its own.

    Args:
        registry: where the version's files are.
        version: the version; its files must have the digest of its facts.
        use_case: whose features the version must take.
        rows: rows with the features.

    Raises:
        UntrustedModel: its files are refused, or its process crashed, ran out of memory or did not end in time.
        ModelError: it raised an error.
    """
    digest = require_fact(version.facts.artifact_digest, version)
    with registry.fetch_files(version) as folder, tempfile.TemporaryDirectory(prefix="trial-") as place:
        request = {
            "folder": str(folder), "name": str(version), "digest": digest,
            "trusted_types": use_case.model.trusted_types,
            "label": asdict(use_case.label),
        }  # fmt: skip
        (Path(place) / "request.json").write_text(json.dumps(request))
        model_input(rows, use_case).to_pickle(Path(place) / "inputs.pkl")
        _start_process(Path(place), str(version))
        answer = json.loads((Path(place) / "answer.json").read_text())
        if "error" in answer:
            raise _BY_NAME.get(answer["error"], ModelError)(answer["message"])
        p = np.load(Path(place) / "p.npy", allow_pickle=False)
    if p.shape != (shape := question_of(use_case.label).score_shape(len(rows))):
        raise UntrustedModel(f"{version} gave answers of shape {p.shape} for {len(rows)} rows, not {shape}")
    return Trial(p, _contract_of(answer, use_case))


def _contract_of(answer: dict[str, Any], use_case: UseCase) -> ServingChecks | Exception:
    if "contract_error" in answer:
        return ModelError(answer["contract_error"])
    problems = [*serving_checks.signature_problems(answer["inputs"], answer["method"], use_case), *answer["problems"]]
    return ServingChecks(tuple(problems), float(answer["latency_ms"]), answer["size"] / 2**20)


def _start_process(place: Path, name: str) -> None:
    command = [sys.executable, "-m", "mlops.modeling.isolated_scoring", str(place)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)  # noqa: S603 (fixed words)
    except subprocess.TimeoutExpired:
        raise UntrustedModel(f"{name} did not answer within {_SECONDS} s in a process of its own") from None
    if done.returncode:
        how = signal.Signals(-done.returncode).name if done.returncode < 0 else f"exit code {done.returncode}"
        last_line = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise UntrustedModel(
            f"the process that scored {name} ended with {how}{': ' if last_line else ''}{''.join(last_line)}"
        )


def main(arguments: Sequence[str]) -> None:
    """Load and score one version; an error that it raises is written as its answer."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    place = Path(arguments[0])
    request = json.loads((place / "request.json").read_text())
    inputs = pd.read_pickle(place / "inputs.pkl")  # noqa: S301 (written by the process that started this one)
    try:
        answer = _ask_process(place, request, inputs)
    except Exception as error:  # noqa: BLE001 (any error of the version refuses it)
        kind = type(error).__name__
        message = str(error) if kind in _BY_NAME else f"{kind}: {error}"
        answer = {"error": kind, "message": message[:2000]}
    (place / "answer.json").write_text(json.dumps(answer))


def _ask_process(place: Path, request: dict[str, Any], inputs: pd.DataFrame) -> dict[str, Any]:
    model = Model(build=lambda _: None, trusted_types=tuple(request["trusted_types"]))
    opened = model_scan.open_model(Path(request["folder"]), model, request["name"], request["digest"])
    label = request["label"]
    question = question_of(Label(**{**label, "classes": tuple(label["classes"])}))
    p = question.predict_scores(opened.pipeline, select_features(inputs, opened.pipeline))
    np.save(place / "p.npy", np.asarray(p, dtype=np.float64), allow_pickle=False)
    answer: dict[str, Any] = {"inputs": dict(opened.inputs), "method": opened.method, "size": opened.size}
    try:
        answer["problems"], answer["latency_ms"] = serving_checks.run_serving_checks(question, opened.pipeline, inputs)
    except Exception as error:  # noqa: BLE001 (as above)
        answer["contract_error"] = f"{type(error).__name__}: {error}"
    return answer


if __name__ == "__main__":
    main(sys.argv[1:])
