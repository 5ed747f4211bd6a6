"""Reads the bundle resolved for a target, as `databricks bundle validate -o json` prints it before a deployment."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlops.contract import ConfigError
from mlops.platform import sdk
from mlops_cli import checkout
from mlops_cli.bundle_cli import fill_references
from mlops_cli.workspace.requirements import UNSET

_NO_VALUE = re.compile(r"no value assigned to required variable (\w+)")


def load_resolved_bundle(target: str, file: Path | None) -> Mapping[str, Any]:
    """Load the resolved bundle; a variable without a value gets one that begins with UNSET.

    Args:
        target: of the bundle.
        file: what `databricks bundle validate -o json` printed; None: ask it.

    Raises:
        ConfigError: the file has another form or is of another target, or the CLI is missing or refuses the bundle.
    """
    document = _ask_cli(target) if file is None else _parse_document(checkout.read_file(file), str(file))
    found_target = document.get("bundle", {}).get("target")
    if found_target != target:
        raise ConfigError(f"{file or 'the CLI'} is about target {found_target!r}, not {target!r}")
    return document


def cli_version() -> str | None:
    """Return the Databricks CLI's version; None: it is not on the PATH."""
    cli = shutil.which("databricks")
    if cli is None:
        return None
    answer = subprocess.run([cli, "version", "--output", "json"], capture_output=True, text=True, check=False)  # noqa: S603 (a fixed command)
    version = re.search(r"\d+\.\d+\.\d+\S*", answer.stdout)
    return version[0].strip('",') if version else "0"


def _ask_cli(target: str) -> Mapping[str, Any]:
    cli = shutil.which("databricks")
    if cli is None:
        raise ConfigError("the Databricks CLI is not on the PATH: install it, or give its output with --bundle FILE")
    given: list[str] = []
    while True:
        answer = subprocess.run(  # noqa: S603 (a fixed command; target and variables are one argument each)
            [cli, "bundle", "validate", "--target", target, "--output", "json", *given],
            capture_output=True,
            text=True,
            check=False,
        )
        lacking = _NO_VALUE.search(answer.stderr)
        if lacking is None or f"--var={lacking[1]}={UNSET}{lacking[1]}" in given:
            break
        given.append(f"--var={lacking[1]}={UNSET}{lacking[1]}")
    if answer.returncode:
        raise ConfigError(
            f"databricks bundle validate refused target {target}: {sdk.redact_secrets(answer.stderr.strip())}"
        )
    return _parse_document(answer.stdout, "databricks bundle validate")


def _parse_document(text: str, whence: str) -> Mapping[str, Any]:
    try:
        return fill_references(dict(json.loads(text)))
    except (ValueError, TypeError, AttributeError, LookupError):
        raise ConfigError(f"{whence} is no resolved bundle: take `databricks bundle validate -o json`") from None
