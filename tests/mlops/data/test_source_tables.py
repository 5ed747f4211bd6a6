"""Whatever becomes of a table between two runs, each row that it has at a run is landed, and no part of a row."""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from things import make_things

from mlops.contract import DataError
from mlops.data import source_tables

THINGS = make_things(id="long", seen="timestamp")


class Killed(Exception):
    """The process ends here."""


class FakeRows:
    """Rows of a frame, which are written as lines of one file."""

    columns = ("id", "seen")

    def __init__(self, rows: Counter[int], killed: bool) -> None:
        self.rows, self.killed = rows, killed
        self.write = self

    def select(self, *_: str) -> FakeRows:
        return self

    def exceptAll(self, other: FakeRows) -> FakeRows:  # noqa: N802
        return FakeRows(self.rows - other.rows, self.killed)

    def mode(self, _: str) -> FakeRows:
        return self

    def parquet(self, path: str) -> None:
        Path(path).mkdir(parents=True, exist_ok=True)
        Path(path, "rows").write_text("half" if self.killed else "\n".join(map(str, self.rows.elements())))
        if self.killed:
            raise Killed
        Path(path, "_SUCCESS").touch()


class FakeTable:
    """A Delta table: the rows of each version."""

    def __init__(self, number: int) -> None:
        self.id, self.versions, self.vacuumed, self.killed = f"{number:08}-0000", [Counter[int]()], 0, False

    def newest_version(self, _: str) -> int:
        return len(self.versions) - 1

    def find_id(self, _: str) -> str:
        return self.id

    def check_version(self, _: str, version: int) -> None:
        if not self.vacuumed <= version < len(self.versions):
            raise DataError("no such version")

    def read_table(self, _: str, version: int) -> FakeRows:
        return FakeRows(self.versions[version], self.killed)


CHANGES = st.sampled_from(["insert", "insert", "made again", "delete", "optimize", "vacuum"])
STEPS = st.lists(st.tuples(CHANGES, st.sampled_from(["land", "land", "kill", "wait"])), min_size=1, max_size=6)


@settings(deadline=None, max_examples=60)
@given(STEPS, st.booleans(), st.booleans())
def test_each_row_that_a_table_has_at_a_run_is_landed(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str]], legacy: bool, archives: bool
) -> None:
    landing, table, wanted = tmp_path_factory.mktemp("landing"), FakeTable(0), set[int]()
    policy = SimpleNamespace(archive_after=timedelta(0) if archives else None)
    job: Any = SimpleNamespace(
        config=SimpleNamespace(landing=str(landing)), log=logging.getLogger("test"),
        use_case=SimpleNamespace(policy=policy),
    )  # fmt: skip
    if legacy:  # a former release has landed the empty table
        (landing / "things/version-000000000").mkdir(parents=True)
        (landing / "things/version-000000000/_SUCCESS").touch()
    for number, (change, run) in enumerate([*steps, ("optimize", "land")]):
        newest = table.versions[-1]
        if change == "made again":
            table = FakeTable(number + 1)
            table.versions.append(Counter([number]))
        elif change == "vacuum":
            table.vacuumed = len(table.versions) - 1
        else:
            changed = {"insert": newest + Counter([number]), "delete": Counter[int](), "optimize": newest}
            table.versions.append(changed[change])
        table.killed = run == "kill"
        with pytest.MonkeyPatch.context() as patch, suppress(Killed):
            patch.setattr(source_tables, "_open_table", lambda _, table=table: (table, "things"))
            if run != "wait":
                source_tables._land_table(job, THINGS)
        wanted |= {*table.versions[-1]} if run == "land" else set()
        if archives:
            for file in [*landing.glob("things/*/rows")]:
                if (file.parent / "_SUCCESS").exists():
                    file.rename(landing / f"{number}-{file.parent.name}")
            folders = [folder for folder in landing.glob("things/*") if (folder / "_SUCCESS").exists()]
            assert len(folders) <= 2 + legacy  # that of this run, and the newest one before it
    files = [path for path in landing.rglob("*") if path.is_file() and path.name != "_SUCCESS"]
    assert wanted <= {int(line) for file in files for line in file.read_text().split()}
