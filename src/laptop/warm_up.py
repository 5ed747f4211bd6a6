"""Sends a new server statements of the kinds that jobs send, since Java compiles what they need only then.

`laptop up` starts it as a separate process, `python -m laptop.warm_up FOLDER`, so that the first command of each kind
is quick, too. Commands that come meanwhile run beside it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

_LONGEST = 300
"""Seconds after which the process ends in any case: 20 on a fast machine."""
_started: list[subprocess.Popen[bytes]] = []
"""Processes that this one started and that outlive it; without a reference to them Python would warn."""
_STATEMENTS = """
CREATE TABLE {table} (id BIGINT NOT NULL, part BIGINT COMMENT 'x', name STRING, moment TIMESTAMP) USING delta
  TBLPROPERTIES ('delta.logRetentionDuration' = 'interval 400 days');
INSERT INTO {table}
  SELECT id, id % 7 AS part, CAST(id AS STRING) AS name, current_timestamp() AS moment FROM range(2000);
MERGE WITH SCHEMA EVOLUTION INTO {table} t USING (SELECT id + 1000 AS id, part, name, moment FROM {table}) s
  ON t.id = s.id WHEN MATCHED AND struct(s.moment) > struct(t.moment) THEN UPDATE SET name = s.name
  WHEN NOT MATCHED THEN INSERT (id, part, name, moment) VALUES (s.id, s.part, s.name, s.moment);
DESCRIBE HISTORY {table} LIMIT 1;
DESCRIBE DETAIL {table};
SHOW TBLPROPERTIES {table};
SELECT t.part, max(t.moment), count(*), max_by(t.name, t.id) FROM {table} t LEFT JOIN {table} s ON t.id = s.id
  WHERE t.moment > TIMESTAMP '2013-01-01' GROUP BY t.part;
SELECT *, row_number() OVER (PARTITION BY part ORDER BY moment) AS number FROM {table} VERSION AS OF 1;
DELETE FROM {table} WHERE id = 5
"""


def send_statements(session: Any, folder: Path) -> None:
    """Create a Delta table in an empty folder, change it and read it, with SQL and with frames."""
    from pyspark.sql import functions as F

    table = f"delta.`{folder}/table`"
    for statement in _STATEMENTS.split(";"):
        session.sql(statement.format(table=table)).toArrow()
    rows = session.table(table).where("id < 1000")
    rows.write.parquet(f"{folder}/rows")
    staged = session.read.parquet(f"{folder}/rows")
    staged.writeTo(table).append()
    staged.withColumn("more", F.col("id")).writeTo(table).option("mergeSchema", "true").overwrite(F.col("id") < 1000)
    session.createDataFrame([(1, "x")], "id BIGINT, name STRING").join(rows, "id", "left_semi").toArrow()


def start_in_background(home: Path, address: str) -> None:
    """Warm the server at `address`, the engine of `home`, in a process of its own that writes `logs/warm_up.log`."""
    with suppress(OSError), (home / "logs" / "warm_up.log").open("wb") as log:  # a full disk: commands are slower
        process = subprocess.Popen(  # noqa: S603 - our own words only
            [sys.executable, "-m", "laptop.warm_up", str(home / "engine" / "spark" / "tmp")],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            env={**os.environ, "SPARK_REMOTE": address},
        )  # fmt: skip
        _started.append(process)


def _warm(folder: str) -> None:
    from pyspark.sql import SparkSession

    place = tempfile.mkdtemp(dir=folder)
    session: Any = SparkSession.builder.getOrCreate()
    session.client.set_retry_policies([])  # else it would wait for minutes for an engine that has ended
    send_statements(session, Path(place))
    session.stop()
    shutil.rmtree(place)  # not after an error: the engine has ended, and `laptop clean` may be removing the home


if __name__ == "__main__":
    os.nice(19)
    signal.alarm(_LONGEST)
    _warm(sys.argv[1])
