"""A table that two runs create at one moment, against a session that answers as Delta does."""

from __future__ import annotations

import pytest

from mlops.contract import DataError
from mlops.platform import tables
from mlops.platform.tables import Schema, TableColumn

COLUMNS = [TableColumn("move", "string")]
HALF_MADE = "[DELTA_CREATE_TABLE_WITH_NON_EMPTY_LOCATION] Cannot create table. The associated location is not empty."
OTHERS = "[DELTA_PROTOCOL_CHANGED.EMPTY_DIRECTORY] ProtocolChangedException: The protocol version has been changed."


class OtherRun:
    """A session in which another run is faster: it has made the folder, and its log entry comes after some waits."""

    def __init__(self, error, folder, waits):
        self.error, self.log, self.waits, self.asked = error, folder / "_delta_log", waits, 0
        self.log.mkdir(parents=True)

    def sql(self, _):
        self.asked += 1
        raise RuntimeError(self.error)

    def sleep(self, _):
        self.waits -= 1
        if not self.waits:
            (self.log / f"{0:020}.json").write_text("{}")


def create(tmp_path, monkeypatch, error, waits):
    other = OtherRun(error, tmp_path / "prod" / "toy" / "audit", waits)
    monkeypatch.setattr(tables.time, "sleep", other.sleep)
    Schema(other, tmp_path, "prod", "toy").create_table("audit", COLUMNS, "moves")
    return other


@pytest.mark.parametrize(("error", "waits"), [(HALF_MADE, 1), (HALF_MADE, 2), (OTHERS, 1)])
def test_a_table_that_another_run_creates_is_waited_for(tmp_path, monkeypatch, error, waits):
    assert create(tmp_path, monkeypatch, error, waits).asked == waits


def test_files_that_are_no_table_are_named(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"prod\.toy\.audit cannot be created: its folder holds files and no log"):
        create(tmp_path, monkeypatch, HALF_MADE, waits=9)


def test_another_error_is_told_as_it_is(tmp_path, monkeypatch):
    with pytest.raises(RuntimeError, match="no space left"):
        create(tmp_path, monkeypatch, "no space left", waits=9)
