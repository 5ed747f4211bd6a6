"""The statements that warm an engine: on real Spark, and when the engine ends meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from laptop import warm_up

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.nightly


def test_it_sends_statements_of_each_kind_and_leaves_nothing(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "engine/spark/tmp").mkdir(parents=True)
    warm_up.start_in_background(tmp_path, os.environ["SPARK_REMOTE"])
    assert warm_up._started[-1].wait(120) == 0, (tmp_path / "logs/warm_up.log").read_text()
    assert list((tmp_path / "engine/spark/tmp").iterdir()) == []


def test_it_ends_with_its_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPARK_REMOTE", raising=False)
    script = f"""
import time
from pathlib import Path
from laptop import spark, warm_up
home = Path({str(tmp_path)!r})
address = spark.start_kept_server(home, print)
warm_up.start_in_background(home, address)
while not list((home / "engine/spark/tmp").glob("*/table/_delta_log/*0.json")):
    time.sleep(0.01)
spark.kill_server()
print("code", warm_up._started[-1].wait(20))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "code 1" in done.stdout, done.stderr
    assert "UNAVAILABLE" in (tmp_path / "logs/warm_up.log").read_text()
