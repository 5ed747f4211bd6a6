"""Downloads the champion of a target with all that is needed to load it without a registry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlops.contract import ModelError, UseCase
from mlops.platform.scoring_server import VersionCard, make_card
from mlops_cli import audit_records
from mlops_cli.bundle_cli import DeployedBundle


@contextmanager
def open_champion(deployed: DeployedBundle) -> Iterator[tuple[Path, VersionCard, UseCase]]:
    """Download the champion of the audit table; yields its folder, its card and the use case.

    Raises:
        ModelError: there is no champion, or the alias shows another version.
    """
    from mlops.context import load_use_case
    from mlops.platform.registry import Registry
    from mlops.release.aliases import find_serving

    registry, rows = Registry(deployed.home), audit_records.read_rows(deployed)
    champion = find_serving(registry, deployed.model, rows, deployed.target)
    if champion is None:
        raise ModelError(f"{deployed.model} has no champion yet: train, or promote a version, and deploy it")
    use_case = load_use_case()
    with registry.fetch_files(champion) as folder:
        _drop_rewritten(folder)
        yield folder, make_card(champion, use_case.model), use_case


def _drop_rewritten(folder: Path) -> None:
    """Delete what the registry adds to a download: it names the registry, and is not part of the digest."""
    from mlops.platform.model_scan import REWRITTEN

    for name in REWRITTEN:
        (folder / name).unlink(missing_ok=True)
