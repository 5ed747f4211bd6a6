"""Tells whether a home has ingested all that its landing folder holds, so that the demo need not do it again."""

from __future__ import annotations

from pathlib import Path

from laptop.run_store import GOOD, RunStore
from mlops.contract import UseCase
from mlops.data.landing import list_files
from mlops_cli.home_tables import read_rows


def is_ingested(home: Path, use_case: UseCase, place: tuple[str, str], landing: str, as_of: str) -> bool:
    """Whether another ingestion as of a moment would change nothing.

    Args:
        home: the laptop's home folder.
        use_case: whose sources and features.
        place: catalog and schema of the tables.
        landing: the landing folder, as the job names it.
        as_of: the parameter of the job.
    """
    run = RunStore(home / "runs").latest_run("ingestion", "prod", {"as_of": as_of})
    if run is None or run.state not in GOOD or any(source.table for source in use_case.sources):
        return False  # what a table holds today, only the job knows
    folders = [
        home.joinpath("warehouse", *place, f"{use_case.table_prefix}{name}")
        for name in (*(source.name for source in use_case.sources), "features")
    ]
    if not all((folder / "_delta_log").is_dir() for folder in folders):
        return False
    from deltalake import DeltaTable

    made = {field.name for field in DeltaTable(str(folders[-1])).schema().fields}
    if not {feature.name for feature in use_case.features} <= made:
        return False
    ledger = read_rows(home, *place, f"{use_case.table_prefix}ledger")
    seen = {(row["source"], row["file"], row["bytes"], row["modified"]) for row in ledger}
    return all(file.identity in seen for file in list_files(f"{home}{landing}", use_case.sources)[0])
