"""The demo leaves out an ingestion only if it would change nothing; each reason for it to run is tried by itself."""

import json
import shutil
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from demo.ingested import is_ingested
from toy import TOY

from laptop.run_store import Run

MOMENT, LANDING = "2024-01-09T00:00:00Z", "/Volumes/prod/toys/landing"
WAREHOUSE = "warehouse/prod/toys"


@pytest.fixture
def home(tmp_path):
    """A home with one landed file per source, their tables, the ledger and one run of the job."""
    entries = []
    for source in TOY.sources:
        file = tmp_path / f"Volumes/prod/toys/landing/{source.name}/2024-01-08.csv"
        file.parent.mkdir(parents=True)
        file.write_text("id\n1\n")
        micros = file.stat().st_mtime_ns // 1000
        modified = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
        entries.append({"source": source.name, "file": file.name, "bytes": file.stat().st_size, "modified": modified})
        write_deltalake(tmp_path / WAREHOUSE / source.name, pa.table({"id": [1]}))
    write_deltalake(tmp_path / WAREHOUSE / "ledger", pa.Table.from_pylist(entries))
    write_deltalake(tmp_path / WAREHOUSE / "features", pa.table({feature.name: [1.0] for feature in TOY.features}))
    (tmp_path / "runs").mkdir()
    save_run(tmp_path, "SUCCESS")
    return tmp_path


def save_run(home, state, as_of=MOMENT):
    run = Run("1", "ingestion", "i", "1", "prod", "onetime", "me", MOMENT, {"as_of": as_of}, state=state)
    (home / "runs/1.json").write_text(json.dumps(asdict(run)))


def land_another(home):
    (home / "Volumes/prod/toys/landing/orders/2024-01-09.csv").write_text("id\n2\n")


def change_a_file(home):
    (home / "Volumes/prod/toys/landing/orders/2024-01-08.csv").write_text("id\n2\n3\n")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda _: None, True),
        (land_another, False),
        (change_a_file, False),
        (lambda home: shutil.rmtree(home / WAREHOUSE / "orders"), False),
        (lambda home: shutil.rmtree(home / WAREHOUSE / "features"), False),
        (lambda home: shutil.rmtree(home / WAREHOUSE / "ledger"), False),
        (lambda home: save_run(home, "FAILED"), False),
        (lambda home: save_run(home, "CANCELED"), False),
        (lambda home: save_run(home, "SUCCESS", "2024-01-08T00:00:00Z"), False),
    ],
    ids=["nothing changed", "new file", "other content", "no source table", "no features", "no ledger", "failed",
         "cut off", "another moment"],
)  # fmt: skip
def test_an_ingestion_is_left_out_only_if_it_would_change_nothing(home, change, expected):
    change(home)
    assert is_ingested(home, TOY, ("prod", "toys"), LANDING, MOMENT) is expected


def test_a_feature_that_the_table_lacks_asks_for_the_ingestion(home):
    more = replace(TOY.features[0], name="another")
    changed = replace(TOY, features=(*TOY.features, more))
    assert not is_ingested(home, changed, ("prod", "toys"), LANDING, MOMENT)
