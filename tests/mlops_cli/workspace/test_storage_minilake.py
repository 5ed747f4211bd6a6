"""Storage against minilake, an emulator of the Files and DBFS APIs that somebody else wrote.

It runs in an environment of its own and never enters our lock: it brings a web server, DuckDB and Docker's client. It
takes any token and enforces no right, so what is refused is tested on our double (tests/mlops_cli/workspace).
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from isolated import environment
from storedfiles import read_file, write_file

from mlops_cli import storage

pytestmark = pytest.mark.nightly
VOLUME = "/Volumes/prod/flights/landing"
BIG = os.urandom(3 << 20)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def minilake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("minilake")
    programs = environment(folder / "venv", "minilake==1.9.0").parent
    port = _free_port()
    settings = {
        "MINILAKE_DATA_DIR": str(folder / "data"),
        "MINILAKE_JOB_EXECUTOR": "subprocess",
        "MINILAKE_NOTEBOOK": "0",
    }
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [programs / "minilake", "--host", "127.0.0.1", "--port", str(port)],
            env={**os.environ, **settings}, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            _wait(port, folder / "log")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(timeout=20)


def _wait(port: int, log: Path) -> None:
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    pytest.fail(f"minilake did not start: {log.read_text()[-2000:]}")


@pytest.fixture
def logged_in(minilake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from databricks.sdk import WorkspaceClient
    from databricks.sdk.service.catalog import VolumeType

    monkeypatch.delenv("LAPTOP_HOME", raising=False)
    monkeypatch.setenv("DATABRICKS_HOST", minilake)
    monkeypatch.setenv("DATABRICKS_TOKEN", "any")
    client = WorkspaceClient()
    if "prod" not in {catalog.name for catalog in client.catalogs.list()}:
        client.catalogs.create("prod")
        client.schemas.create("flights", "prod")
        client.volumes.create("prod", "flights", "landing", VolumeType.MANAGED)


@pytest.mark.usefixtures("logged_in")
def test_a_volume_is_written_listed_and_read() -> None:
    write_file(f"{VOLUME}/a/b.csv", "x,y\n1,2\n")
    write_file(f"{VOLUME}/a/big.bin", BIG)
    assert storage.list_tree(f"{VOLUME}/a") == (("b.csv", 8), ("big.bin", len(BIG)))
    assert read_file(f"dbfs:{VOLUME}/a/big.bin") == BIG
    assert storage.list_tree(f"{VOLUME}/nowhere") == ()


@pytest.mark.usefixtures("logged_in")
def test_dbfs_root_is_written_replaced_and_read() -> None:
    write_file("dbfs:/models/one.bin", BIG)
    write_file("dbfs:/models/one.bin", b"less")
    assert read_file("/dbfs/models/one.bin") == b"less"
    assert storage.list_tree("dbfs:/models") == (("one.bin", 4),)


@pytest.mark.usefixtures("logged_in")
def test_a_folder_of_dbfs_is_copied_into_a_volume_once() -> None:
    content = {"a.csv": b"1", "deep/er/b.bin": BIG, "empty": b""}
    for name, data in content.items():
        write_file(f"dbfs:/old/{name}", data)
    assert storage.copy_folder("dbfs:/old", f"{VOLUME}/new", print) == storage.Copied(3, 0, len(BIG) + 1)
    assert storage.copy_folder("dbfs:/old", f"{VOLUME}/new", print) == storage.Copied(0, 3, len(BIG) + 1)
    assert {name: read_file(f"{VOLUME}/new/{name}") for name in content} == content
