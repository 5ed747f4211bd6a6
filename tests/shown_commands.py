"""Checks commands that a document shows, without running them: programs, commands, options, jobs, parameters, paths."""

from __future__ import annotations

import csv
import re
import shlex
import sys
import textwrap
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import click

ROOT = Path(__file__).parents[1]
PLACEHOLDER = re.compile(r"[A-Z_]{3,}|.*…")
"""What a reader puts a value for, as TARGET or `as_of=…`."""
DATABRICKS = {"auth login", "bundle deploy", "bundle plan", "bundle run", "bundle validate", "fs cp"}
"""Commands of the Databricks CLI that documents may show."""
ELSEWHERE = {"az", "cd", "docker", "eval", "export", "gh", "git", "for", "do", "done"}
"""Programs and words of the shell that no test can try; bash reads their lines."""


def read_blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language, without the indent of the list that they stand in."""
    blocks = re.finditer(rf"^( *)```{language}\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(block[2]) for block in blocks]


def read_commands(text: str) -> list[list[str]]:
    """The words of every command in the console blocks, without `uv run` before them."""
    return [command for block in read_blocks(text, "console") for command in _split_commands(block)]


def _split_commands(block: str) -> Iterator[list[str]]:
    for line in block.replace("\\\n", " ").splitlines():
        command: list[str] = []
        for word in [*shlex.split(line, comments=True), "&&"]:
            if word != "&&":
                command.append(word)
            elif command:
                yield command[2:] if command[:2] == ["uv", "run"] else command
                command = []


def check_command(words: list[str], targets: set[str]) -> None:
    """Fail unless a command could run here.

    Args:
        words: without `uv run`.
        targets: names that may stand for a target, beside those of the bundle.
    """
    program, *arguments = words
    if program in {"laptop", "mlops"}:
        parse_command(words)
    elif program == "mlflow":
        from mlflow.cli import cli

        _parse(cli, [word for word in arguments if word != "…"])
    elif program == "pytest":
        _check_pytest(arguments)
    elif program == "databricks":
        assert " ".join(arguments[:2]) in DATABRICKS
    elif program == "python":
        assert (ROOT / arguments[0]).is_file() or arguments[0] == "-m"
    elif "/" in program:
        assert (ROOT / program).is_file()
    elif program not in ELSEWHERE:
        assert program == "uv" or (Path(sys.executable).parent / program).exists()
    if program in {"laptop", "databricks", "mlops"}:
        _check_names(words, targets)


def parse_command(words: list[str]) -> None:
    """Fail unless the command of `laptop` or `mlops` exists and takes these words."""
    import laptop.cli
    import mlops_cli.cli

    name, *arguments = words
    _parse({"laptop": laptop.cli.main, "mlops": mlops_cli.cli.cli}[name], arguments)


def _parse(group: click.Group, arguments: list[str]) -> None:
    context = click.Context(group)
    verb, command, rest = group.resolve_command(context, arguments)
    assert command is not None
    if isinstance(command, click.Group):
        _parse(command, rest)
        return
    given = [str(ROOT) if before == "--home" else word for before, word in zip([verb, *rest], rest, strict=False)]
    command.make_context(verb, given, parent=context)


def _check_pytest(arguments: list[str]) -> None:
    names = "\n".join(str(path) for path in (ROOT / "tests").rglob("test_*.py"))
    for before, word in zip(["", *arguments], arguments, strict=False):
        if before == "-k":
            assert [name for name in word.split(" or ") if name not in names] == []
        elif "/" in word or word == "tests":
            assert (ROOT / word.partition("::")[0]).exists(), word


def _check_names(words: list[str], targets: set[str]) -> None:
    """Fail unless target, job and parameters are those of the bundle, and the values are ones that the job takes."""
    from laptop.bundle import list_targets
    from mlops.config import check_given

    for before, word in pairwise(words):
        if before in {"-t", "--target"}:
            assert word in targets | set(list_targets(ROOT)) or PLACEHOLDER.fullmatch(word), word
    if words[1] != "run" and words[1:3] != ["bundle", "run"]:
        return
    job = words[3] if words[1] == "bundle" else words[2]
    if PLACEHOLDER.fullmatch(job):
        return
    assert job in _parameters(), job
    given = dict(pair.split("=", 1) for pair in _given_pairs(words))
    assert given.keys() <= _parameters()[job], f"{job} has no parameters {given.keys() - _parameters()[job]}"
    check_given(job, {name: value for name, value in given.items() if not PLACEHOLDER.fullmatch(value)})


def _given_pairs(words: list[str]) -> Iterator[str]:
    for before, word in pairwise(words):
        if before in {"-p", "--param"}:
            yield word
        if before == "--params":  # read as CSV: a value with a comma stands in double quotes
            yield from next(csv.reader([word]))


@cache
def _parameters() -> dict[str, set[str]]:
    from laptop.bundle import load_bundle

    jobs = load_bundle(ROOT, "dev").jobs
    return {job: {p["name"] for p in document.get("parameters", ())} for job, document in jobs.items()}
