"""Figures of the house that hold for ever: names, sizes, and what the wheel holds."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from statistics import median

import grimp
import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("laptop", "mlops", "mlops_cli")
"""Not the use case: a fork names its features as its data are named."""
FILES = {
    file.relative_to(ROOT).as_posix(): file.read_text()
    for package in PACKAGES
    for file in sorted((ROOT / "src" / package).rglob("*.py"))
}
NODES = [(file, node) for file, text in FILES.items() for node in ast.walk(ast.parse(text))]
FUNCTIONS = [(file, node) for file, node in NODES if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
NAMES = [(file, node.name) for file, node in FUNCTIONS if not node.name.startswith("__")]
IRREGULAR = re.compile(
    r"("
    r"begun|beaten|born|bound|bought|broken|brought|built|caught|chosen|done|drawn|driven|eaten|"
    r"fallen|fed|felt|forgotten|found|frozen|given|gone|got|held|hidden|hung|kept|known|laid|led|"
    r"left|lost|made|meant|met|paid|proven|risen|said|seen|sent|shown|slept|sold|spent|spoken|"
    r"stolen|stood|struck|stuck|swept|taken|taught|thought|thrown|told|understood|won|woken|worn|"
    r"written"
    r")"
)
NO_PARTICIPLES = {"embed", "exceed", "feed", "need", "proceed", "seed", "speed"}
GERUNDS = re.compile(r"(asking|counting|fitting|judging|lacking|matching|missing|reaching|telling|wanting|watching)")


def is_participle(word: str) -> bool:
    ends_so = word.endswith("ed") and word not in NO_PARTICIPLES
    return ends_so or bool(IRREGULAR.fullmatch(word) or GERUNDS.fullmatch(word))


def size(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def test_no_function_is_named_by_a_participle() -> None:
    assert [f"{file}: {name}" for file, name in NAMES if is_participle(name.strip("_").split("_")[0])] == []


@pytest.mark.parametrize("word", ["told", "said", "judged", "sent", "found", "missing"])
def test_the_rule_knows_the_participles_that_there_were(word: str) -> None:
    assert is_participle(word)


def test_no_value_is_named_found() -> None:
    names = [(file, node) for file, node in NODES if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    assert [file for file, node in names if node.id == "found"] == []


def test_few_function_names_are_one_word() -> None:
    assert sum("_" not in name.strip("_") for _, name in NAMES) / len(NAMES) <= 0.45


def test_what_comes_in_is_a_source_and_what_one_run_takes_is_a_batch() -> None:
    texts = {file: text for file, text in FILES.items() if file.startswith(("src/mlops/", "src/usecase/"))}
    assert [file for file, text in texts.items() if re.search(r"\b(feeds?|deliver(y|ies))\b", text.lower())] == []


def test_no_class_name_has_two_meanings() -> None:
    counts = Counter(node.name for _, node in NODES if isinstance(node, ast.ClassDef))
    assert [name for name, count in counts.items() if count > 1] == []


def test_modules_have_at_most_350_lines_and_half_of_them_120() -> None:
    lines = {file: len(text.splitlines()) for file, text in FILES.items()}
    assert {file for file, count in lines.items() if count > 350} == set()
    assert median(lines.values()) <= 120


@pytest.mark.parametrize("package", [*PACKAGES, "usecase"])
def test_a_package_says_in_one_paragraph_what_it_holds_and_names_only_folders_that_are_there(package: str) -> None:
    folder = ROOT / "src" / package
    heading, paragraph = (folder / "README.md").read_text().strip().split("\n", 1)
    assert heading == f"# {package}"
    assert "\n" not in paragraph
    assert [
        name
        for name in re.findall(r"`(\w+)/`", paragraph)
        if not (folder / name).is_dir() and not (ROOT / name).is_dir()
    ] == []


def test_functions_have_at_most_45_lines_and_half_of_them_10() -> None:
    assert {f"{file}: {node.name}" for file, node in FUNCTIONS if size(node) > 45} == set()
    assert median(size(node) for _, node in FUNCTIONS) <= 10


def test_the_wheel_holds_no_module_that_no_task_reaches() -> None:
    """A task starts in mlops.jobs and finds the use case by its entry point; the laptop calls mlops.config itself."""
    graph = grimp.build_graph("mlops", "usecase", cache_dir=None)
    reached: set[str] = set()
    todo = [name for name in graph.modules if name.startswith("mlops.jobs.")] + ["mlops.config", "usecase"]
    while todo:
        name = todo.pop()
        if name not in reached:
            reached.add(name)
            todo += graph.find_modules_directly_imported_by(name)
    packages = {".".join(name.split(".")[:parts]) for name in reached for parts in range(1, name.count(".") + 1)}
    assert sorted(graph.modules - reached - packages) == []


def test_each_step_of_the_walk_names_modules_that_its_task_imports() -> None:
    graph = grimp.build_graph("mlops", "usecase", cache_dir=None)
    rows = re.findall(r"^\| \d\. .*", (ROOT / "docs/explanation/walkthrough.md").read_text(), flags=re.MULTILINE)
    assert len(rows) == 16
    for row in rows:
        _, step, starts, done, *_ = row.split("|")
        tasks = [f"mlops.jobs.{name}" for name in re.findall(r"`(\w+)\.py`", starts)]
        for path in re.findall(r"`([\w/]+)\.py`", done):
            name = path.replace("/", ".")
            if not name.startswith("usecase."):  # which a fork cuts as it likes
                module = f"mlops.{name}" if "." in name else f"mlops.monitoring.{name}"
                assert any(graph.chain_exists(importer=task, imported=module) for task in tasks), f"{step}: {module}"


LIGHT = ["sample", "cleanup", "handover", "approval", "deployment", "promotion", "rollback"]
FITS_NOTHING = [*LIGHT, "ingestion", "features", "inference", "streaming", "rollout"]


@pytest.mark.parametrize("task", FITS_NOTHING)
def test_a_task_that_fits_nothing_starts_without_the_libraries_that_do(task: str) -> None:
    """A job of several tasks imports for each. scikit-learn takes a second of processor time, pandas half a second."""
    code = f"import sys, mlops.jobs.{task}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"sklearn", "scipy", "matplotlib", "mlflow", "great_expectations", "skops"}
    heavy |= {"pandas", "numpy", "pyarrow"} if task in LIGHT else set()
    assert set(run.stdout.split()) & heavy == set()


def test_one_file_knows_the_names_of_a_versions_tags() -> None:
    """Names of the audit table's columns are no tags. What a version shows is at most six tags that a person reads."""
    from mlops.release.version_record import ShownTags, TrainingRun

    columns = {
        id(argument)
        for _, node in NODES
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "TableColumn"
        for argument in node.args
    }
    tags = {*TrainingRun.__dataclass_fields__, "promoted_from", "approved_by"} - {
        "seed",
        "search_trials",
        "table_versions",
    }  # parameters of the training job, too
    texts = [(file, node) for file, node in NODES if isinstance(node, ast.Constant) and id(node) not in columns]
    assert {file for file, node in texts if node.value in tags} <= {"src/mlops/release/version_record.py"}
    assert len(ShownTags.__dataclass_fields__) <= 6


def test_a_versions_tags_are_read_in_one_file() -> None:
    """The registry carries tags without knowing any."""
    readers = {
        file
        for file, node in NODES
        if file.startswith(("src/mlops/", "src/mlops_cli/")) and isinstance(node, ast.Subscript | ast.Call)
        for part in [node.value if isinstance(node, ast.Subscript) else node.func]
        if ast.unparse(part).endswith((".tags", ".tags.get"))
    }
    assert readers == {"src/mlops/release/version_record.py"}
