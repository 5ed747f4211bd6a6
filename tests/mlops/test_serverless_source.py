"""What serverless compute refuses, or does differently, is not in our source: looked for in the syntax tree.

Spark Connect on a laptop refuses some of it too (`sparkContext`, `rdd`), but not caching, global views, relative paths.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in ("src/mlops", "src/usecase", "notebooks")
    for path in (ROOT / folder).rglob("*.py")
)
ATTRIBUTES = {
    "rdd": "serverless has no RDDs: use the DataFrame API or SQL",
    "sparkContext": "serverless has no SparkContext: use the session",
    "_jvm": "serverless is Spark Connect: there is no JVM behind the session",
    "_jsc": "serverless is Spark Connect: there is no JVM behind the session",
    "_jdf": "serverless is Spark Connect: there is no JVM behind a frame",
    "cache": "serverless refuses caching: write a table, or read once",
    "persist": "serverless refuses caching: write a table, or read once",
    "unpersist": "serverless refuses caching: write a table, or read once",
    "cacheTable": "serverless refuses caching: write a table, or read once",
    "checkpoint": "serverless has no checkpoints of frames: write a table",
    "createGlobalTempView": "serverless has no global views: use createOrReplaceTempView",
    "createOrReplaceGlobalTempView": "serverless has no global views: use createOrReplaceTempView",
    "entry_point": "environment 6 has no Py4J gateway: pass {{job.run_id}} and the like as parameters",
    "mount": "mounts belong to DBFS: use a volume",
    "transition_model_version_stage": "Unity Catalog has no stages: use aliases",
    "get_latest_versions": "Unity Catalog has no stages: use aliases",
    "utcnow": "naive time: use datetime.now(UTC)",
    "getcwd": "the working directory is anywhere: use absolute paths",
    "chdir": "the working directory is anywhere: use absolute paths",
    "cwd": "the working directory is anywhere: use absolute paths",
}
IMPORTS = {
    "py4j": "there is no JVM",
    "pyspark.mllib": "it stands on RDDs",
    "pyspark.context": "there is no SparkContext",
}
TEXTS = {
    r"^(dbfs:)?/?(dbfs|mnt)/|^dbfs:|FileStore": "DBFS root: use a volume",
    r"hive_metastore": "the legacy metastore: use a catalog of Unity Catalog",
    r"(?i)\b(un)?cache\s+(lazy\s+)?table\b|\bglobal[_\s]+temp": "serverless has no caching and no global views",
}
SETTINGS = {"spark.sql.session.timeZone"}
PLATFORM, CHECKOUT = "src/mlops/platform/runtime.py", "src/mlops_cli/checkout.py"
CI = "src/mlops_cli/ci/check_commands.py"
RELEASE = {f"src/mlops_cli/{name}.py" for name in ("ci/release_commands", "release_build")}
SERVER = "src/mlops/platform/scoring_server.py"
MAY = {
    "texts": {"src/mlops/platform/storage.py"},  # tells DBFS from volumes, and warns
    # The checkout hands it on to git and uv, whole; a container tells its server the port.
    "environment": {PLATFORM, CHECKOUT, SERVER},
    "clock": {PLATFORM, CI},  # a queue's order, the end of an approval, ages; dates that commands show
    "paths": {CHECKOUT, *RELEASE},  # commands of a pipeline, which stands in the checkout and never on serverless
}
CLOCKS = {"now", "today", "time", "time_ns", "utcnow"}
OWNERS = {"datetime", "date", "time", "Timestamp", "dt"}
READERS = {"open", "Path", "read_csv", "read_parquet", "read_text", "csv", "parquet", "json", "text", "load", "save"}


def problems(source: str, file: str) -> list[str]:
    """What is wrong with a module, by line, with the reason."""
    tree = ast.parse(source)
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    found = [found for node in ast.walk(tree) for found in _of(node, file, docs)]
    return [f"{file}:{line}: {what}" for line, what in sorted(found)]


def _of(node: ast.AST, file: str, docs: set[int]) -> Iterator[tuple[int, str]]:
    match node:
        case ast.Attribute(attr=name) if name in ATTRIBUTES and not _is(node, "functools.cache"):
            yield node.lineno, f".{name}: {ATTRIBUTES[name]}"
        case ast.Import(names=names):
            for alias in names:
                yield from _import(node.lineno, alias.name)
        case ast.ImportFrom(module=str(module), names=names):
            for alias in names:
                yield from _import(node.lineno, module, alias.name)
        case ast.Constant(value=str(text)) if id(node) not in docs and file not in MAY["texts"]:
            for pattern, why in TEXTS.items():
                if re.search(pattern, text):
                    yield node.lineno, f"{text!r}: {why}"
        case ast.Call():
            yield from _call(node, file)
    if file not in MAY["environment"] and _reads_environment(node):
        yield node.lineno, "the environment is read in platform/runtime.py only"  # type: ignore[attr-defined]


def _import(line: int, module: str, name: str = "") -> Iterator[tuple[int, str]]:
    for banned, why in IMPORTS.items():
        if f"{module}.".startswith(f"{banned}.") or f"{module}.{name}" == banned:
            yield line, f"import of {banned}: {why}"
    if (module, name) == ("pyspark", "SparkContext"):
        yield line, "import of SparkContext: there is none"
    if module == "os" and name in {"environ", "getenv"}:
        yield line, "the environment is read in platform/runtime.py only"


def _call(node: ast.Call, file: str) -> Iterator[tuple[int, str]]:
    name = ast.unparse(node.func)
    owner, _, last = name.rpartition(".")
    if last in CLOCKS and owner.rpartition(".")[2] in OWNERS:
        if last in {"now", "today"} and not (node.args or node.keywords):
            yield node.lineno, f"{name}(): a time without zone; use datetime.now(UTC)"
        if file not in MAY["clock"]:
            yield node.lineno, f"{name}: no wall clock in logic; take `as_of`"
    first = node.args[0] if node.args else None
    if isinstance(first, ast.Constant) and isinstance(first.value, str):
        if name.endswith("conf.set") and first.value not in SETTINGS:
            yield node.lineno, f"{first.value}: serverless takes a handful of settings, and this is none of ours"
        path = name == "open" or (last in READERS - {"open"} and owner not in {"F", "re", "dbutils.widgets"})
        if path and file not in MAY["paths"] and not re.match(r"/|[a-z][a-z0-9]*:/", first.value):
            yield node.lineno, f"{name}({first.value!r}): the working directory is anywhere; use absolute paths"


def _reads_environment(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=func) if _is(func, "os.getenv", "os.environ.get", "os.environ.copy", "environ.get"):
            return True
        case ast.Subscript(value=value, ctx=ast.Load()):
            return _is(value, "os.environ")
        case ast.Compare(comparators=[where]):
            return _is(where, "os.environ")
        case ast.Dict(values=values):
            return any(_is(value, "os.environ") for value in values)
    return False


def _is(node: ast.AST, *names: str) -> bool:
    return isinstance(node, ast.Attribute | ast.Name) and ast.unparse(node) in names


@pytest.mark.parametrize("file", FILES)
def test_a_module_runs_on_serverless(file: str) -> None:
    assert problems((ROOT / file).read_text(), file) == []


def test_there_is_something_to_look_at() -> None:
    assert {"src/mlops/jobs/training.py", "src/mlops/platform/tables.py"} <= set(FILES)
    assert any(file.startswith("src/usecase/") for file in FILES)


@pytest.mark.parametrize(
    "line",
    [
        "rows = frame.rdd.map(str)", "spark.sparkContext.parallelize([1])", "spark._jvm.System", "frame.cache()",
        "frame.select('a').persist()", "spark.catalog.cacheTable('t')", "frame.createOrReplaceGlobalTempView('v')",
        "from pyspark import SparkContext", "from py4j.java_gateway import x", "import pyspark.mllib.linalg",
        "from pyspark.mllib import linalg", "spark.sql('CACHE TABLE t')", "spark.sql('SELECT * FROM global_temp.v')",
        "spark.sql('select 1 from hive_metastore.a.b')", "p = '/dbfs/tmp/x'", "p = 'dbfs:/tmp/x'", "p = '/mnt/lake/x'",
        "p = '/FileStore/x'", "dbutils.fs.mount('a', 'b')", "dbutils.notebook.entry_point.getDbutils()",
        "now = datetime.now()", "now = dt.datetime.now()", "now = datetime.utcnow()", "day = date.today()",
        "now = pd.Timestamp.now()", "now = datetime.now(UTC)", "t = time.time()", "os.getenv('A')", "os.environ['A']",
        "os.environ.get('A')", "'A' in os.environ", "from os import environ", "e = {**os.environ}", "open('data.csv')",
        "Path('data')", "Path.cwd()", "os.getcwd()", "pd.read_csv('data/x.csv')", "spark.read.parquet('data')",
        "spark.conf.set('spark.executor.memory', '4g')", "client.transition_model_version_stage('m', 1, 'Production')",
        "client.get_latest_versions('m')",
    ],
)  # fmt: skip
def test_each_rule_finds_what_it_is_for(line: str) -> None:
    assert problems(f"def f():\n    {line}\n", "src/mlops/jobs/x.py")[0].startswith("src/mlops/jobs/x.py:2: ")


@pytest.mark.parametrize(
    "line",
    [
        "frame.createOrReplaceTempView('v')", "spark.conf.set('spark.sql.session.timeZone', 'UTC')",
        "Path('/Volumes/a')", "open(path)", "Path(path).open('rb')", "F.json('a')", "os.environ.update(quiet)",
        "os.environ['A'] = 'b'",
        "functools.cache(f)",
        "'''dbfs:/ is explained here'''", "spark.read.csv('s3://bucket/x')", "frame.count()",
    ],
)  # fmt: skip
def test_what_serverless_takes_is_no_problem(line: str) -> None:
    assert problems(f"def f():\n    {line}\n", "src/mlops/jobs/x.py") == []


@pytest.mark.parametrize(("kind", "file"), [(kind, file) for kind, files in MAY.items() for file in sorted(files)])
def test_each_exception_is_still_needed(kind: str, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MAY, kind, set())
    assert problems((ROOT / file).read_text(), file)
