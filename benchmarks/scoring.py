"""What batch scoring costs beside one pandas core and beside bare `mapInPandas`, and what a killed stream loses.

`uv run python -m benchmarks scoring [ROWS]`. The targets are about 5,000,000 rows in a batch and 1,000,000 in a stream,
which gets a fifth of ROWS. The model is the use case's, fitted on drawn rows; each way reads Parquet files and writes
the key and the prediction of each row. The jobs' way also leaves out what was scored, and checks every row's contract.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # one pandas core is one core; Spark's workers have it anyway

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark import cloudpickle
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from benchmarks import report
from benchmarks.serving import draw_features
from laptop import spark as server
from mlops.data import predictions, scoring, table_schemas
from mlops.data.row_contract import score_valid_rows
from mlops.data.scoring import Scorer
from mlops.platform import streams, tables
from mlops.platform.tables import Schema
from mlops.questions import question_of
from usecase import USE_CASE

_ROWS, _CHUNK, _FITTED = 300_000, 50_000, 4_000
_BATCHES = (1_000, 5_000, 10_000, 25_000, 50_000)
_DEFAULT_BATCH, _REPEATS = 10_000, 5
_ARROW = "spark.sql.execution.arrow.maxRecordsPerBatch"
_START = datetime(2024, 1, 1, tzinfo=UTC)
_AS_OF = _START + timedelta(days=1)
_KEY = USE_CASE.entity.key[0]
_QUESTION = question_of(USE_CASE.label)


def main(rows: int = _ROWS) -> None:
    """Print rows per second of each way, by size of the Arrow batch, the workers' memory, and what a stream lost."""
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # Spark's workers cannot import this file
    generator = np.random.default_rng(0)
    fitted = draw_features(_FITTED, generator)
    pipeline = USE_CASE.model.build({}).fit(fitted, (generator.random(_FITTED) < 0.2).astype("int64"))
    _measure_worker(pipeline)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LAPTOP_HOME"] = folder
        server.start_server(Path(folder), print)
        try:
            _measure_batch(Path(folder), pipeline, rows)
            _measure_stream(Path(folder), pipeline, rows // 5)
        finally:
            server.stop_server()


def _measure_worker(pipeline: Any) -> None:
    """Print processor time of a worker's function by batch size, beside the pipeline alone."""
    names = list(pipeline.feature_names_in_)
    batch = pa.RecordBatch.from_pandas(draw_features(_CHUNK, np.random.default_rng(1)), preserve_index=False)

    def cpu(score: Callable[[pd.DataFrame], object], size: int) -> float:
        start = time.process_time()
        for first in range(0, _CHUNK, size):
            score(batch.slice(first, size).to_pandas())
        return time.process_time() - start

    for size in _BATCHES:
        ours = min(cpu(lambda rows: score_valid_rows(pipeline, rows, USE_CASE, {}), size) for _ in range(_REPEATS))
        bare = min(cpu(lambda rows: pipeline.predict_proba(rows[names]), size) for _ in range(_REPEATS))
        report("scoring", f"worker_rows_per_cpu_second_of_{size}", _CHUNK / ours, "1/s", better="higher")
        report("scoring", f"worker_beside_pipeline_of_{size}", bare / ours, "ratio", better="higher")


def _measure_batch(folder: Path, pipeline: Any, rows: int) -> None:
    files = _write_files(folder / "rows", rows)
    spark = tables.open_schema("main", "warm").spark
    frame = spark.read.parquet(str(folder / "rows"))
    first = spark.read.parquet(str(files[0]))
    _score(first, pipeline, "warm")
    _score_bare(first, pipeline, folder / "warm")
    speed = {"pandas": rows / _seconds(lambda: _score_pandas(files, pipeline, folder / "pandas"))}
    speed["bare"] = rows / _seconds(lambda: _score_bare(frame, pipeline, folder / "bare"))
    part = files[: len(files) // 4 or 1]
    quarter, count = spark.read.parquet(*map(str, part)), min(rows, len(part) * _CHUNK)
    for size in _BATCHES[::2]:
        spark.conf.set(_ARROW, str(size))
        speed[f"batches_of_{size}"] = _measure_ours(quarter, count, pipeline, f"batches_of_{size}")
    spark.conf.set(_ARROW, str(_DEFAULT_BATCH))
    ours = _measure_ours(frame, rows, pipeline, "all")
    for name, figure in speed.items():
        report("scoring", f"{name}_rows_per_second", figure, "1/s", better="higher")
    report("scoring", "rows_per_second", ours, "1/s", better="higher")
    report("scoring", "beside_one_pandas_core", ours / speed["pandas"], "ratio", better="higher", target=1.2)
    report("scoring", "beside_bare_map_in_pandas", ours / speed["bare"], "ratio", better="higher", target=0.9)


def _measure_ours(rows: DataFrame, count: int, pipeline: Any, name: str) -> float:
    """Score with the jobs' function; report the memory of the largest worker, and return rows per second."""
    with _peak_of_workers() as peak:
        seconds = _seconds(lambda: _score(rows, pipeline, name))
    report("scoring", f"{name}_worker_peak", peak[0] / 2**20, "MiB", better="lower")
    return count / seconds


def _write_files(folder: Path, rows: int) -> list[Path]:
    """Write rows of the feature table as Parquet files of _CHUNK rows."""
    folder.mkdir()
    features, files = draw_features(_CHUNK, np.random.default_rng(1)), []
    for start in range(0, rows, _CHUNK):
        count = min(_CHUNK, rows - start)
        moments = dict.fromkeys(("event_time", "prediction_time"), pd.Timestamp(_START + timedelta(hours=1)))
        key = [f"{number:012d}" for number in range(start, start + count)]
        files.append(folder / f"{start:012d}.parquet")
        part = features.head(count).assign(**{_KEY: key}, **moments)
        part.to_parquet(files[-1], index=False, coerce_timestamps="us")
    return files


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _score(rows: DataFrame, pipeline: Any, name: str) -> None:
    own = tables.open_schema("main", name)
    table_schemas.create_predictions(own, USE_CASE)
    broken = scoring.append_predictions(own, "main.rows", rows, Scorer(USE_CASE, pipeline, 1, _START, _AS_OF))
    if broken:
        raise RuntimeError(f"{broken} drawn rows break the contract")


def _score_bare(rows: DataFrame, pipeline: Any, place: Path) -> None:
    names = [feature.name for feature in USE_CASE.features]

    def predict(parts: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for part in parts:
            yield pd.DataFrame({_KEY: part[_KEY], "prediction": pipeline.predict_proba(part[names])[:, 1]})

    scored = rows.mapInPandas(predict, f"{_KEY} string, prediction double")
    scored.write.format("delta").save(str(place))


def _score_pandas(files: list[Path], pipeline: Any, place: Path) -> None:
    place.mkdir()
    for file in files:
        rows = pd.read_parquet(file)
        scored = rows[[_KEY]].assign(prediction=predictions.predict(pipeline, rows, USE_CASE))
        scored.to_parquet(place / file.name, index=False)


@contextmanager
def _peak_of_workers() -> Iterator[list[int]]:
    """Yield a list with the largest resident memory of a Python worker of Spark, looked at five times a second."""
    peak, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.2):
            for process in Path("/proc").glob("[0-9]*"):
                with suppress(OSError, IndexError, ValueError):  # of another user, or gone
                    if (
                        b"pyspark" in (process / "cmdline").read_bytes()
                        and b"daemon" in (process / "cmdline").read_bytes()
                    ):
                        pages = int((process / "statm").read_text().split()[1])
                        peak[0] = max(peak[0], pages * os.sysconf("SC_PAGE_SIZE"))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def _measure_stream(folder: Path, pipeline: Any, rows: int) -> None:
    """Kill the worker around the append of each of four batches; compare the predictions with those of pandas."""
    own = tables.open_schema("main", "stream")
    table_schemas.create_predictions(own, USE_CASE)
    files = _write_files(folder / "arriving", rows)
    marks, where = folder / "marks", (own.warehouse, own.catalog, own.name)
    marks.mkdir()
    scorer = Scorer(USE_CASE, pipeline, 1, _START, _AS_OF)

    def score(batch: DataFrame, number: int) -> None:
        def end_once(moment: str) -> None:
            mark = marks / f"{number}-{moment}"
            if not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)

        end_once("before")
        scoring.append_predictions(Schema(batch.sparkSession, *where), "main.stream.features", batch, scorer)
        end_once("after")

    start, kills = time.perf_counter(), 0
    for part in np.array_split(np.array(files), min(4, len(files))):
        rows_of_part = own.spark.read.parquet(*map(str, part))
        rows_of_part.write.format("delta").mode("append").save(str(own.warehouse / "main/stream/features"))
        while True:
            done = len(list(marks.iterdir()))
            try:
                streams.process_new_rows(own, "features", folder / "checkpoint", score)
                break
            except Exception:
                if len(list(marks.iterdir())) == done:  # not by a kill, of which Spark tells in many ways
                    raise
                kills += 1
    report("scoring", "stream_rows_per_second", rows / (time.perf_counter() - start), "1/s", better="higher")
    report("scoring", "stream_kills", kills, "kills", better="higher")
    _score_pandas(files, pipeline, folder / "expected")
    expected = own.spark.read.parquet(str(folder / "expected"))
    there = own.read_table("predictions")
    report("scoring", "stream_lost", rows - there.select(_KEY).distinct().count(), "rows", better="lower", target=0)
    report("scoring", "stream_double", there.count() - rows, "rows", better="lower", target=0)
    hashes = [
        table.agg(F.expr(f"bit_xor(xxhash64({_KEY}, prediction))").alias("hash")).collect()[0]["hash"]
        for table in (expected, there)
    ]
    report("scoring", "stream_hash_differs", float(hashes[0] != hashes[1]), "0 or 1", better="lower", target=0)


if __name__ == "__main__":
    main()
