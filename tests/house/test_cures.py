"""Whatever command a message tells to type works as typed: it names a command that exists, its target and its home."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from laptop.cli import main as laptop
from mlops.platform import runtime
from mlops_cli.cli import cli as mlops

SOURCES = Path(__file__).parents[2] / "src"
HELPERS = {"command", "command_line"}
TOLD = re.compile(r"\b(?P<name>mlops|laptop) (?P<verb>[a-z]+)\b(?= [-<{\dA-Z]|`|$)")
WITHOUT_HOME = {"bootstrap", "doctor", "ci", "link", "copy", "validate", "ui"}
"""They act on a workspace or on the bundle alone, or say which home themselves."""


def calls() -> Iterator[tuple[str, list[str]]]:
    """Every command that a message is made of: where, and its words; a word that is known later only is a number."""
    for file in sorted(SOURCES.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            words = node.args[0].elts if node.args and isinstance(node.args[0], ast.Tuple | ast.List) else node.args
            known = [
                word.value if isinstance(word, ast.Constant) else "1"
                for word in words
                if not isinstance(word, ast.Starred)
            ]
            named = node.func.attr in HELPERS or (node.func.attr == "join" and ast.unparse(node.func.value) == "shlex")
            if named and known and known[0] in {"mlops", "laptop"}:
                yield f"{file.name}:{node.lineno}", [str(word) for word in known]


CALLS = list(calls())


@pytest.mark.parametrize(("where", "words"), CALLS, ids=[f"{where} {' '.join(words)}" for where, words in CALLS])
def test_a_command_of_a_message_can_be_typed(where, words, tmp_path):
    name, verb, *rest = words
    command = {"mlops": mlops, "laptop": laptop}[name].commands[verb]
    given = ["prod" if before in {"--target", "-t"} else word for before, word in zip(["", *rest], rest, strict=False)]
    given = ["1" if word == "N" else word for word in given]
    if "--home" in given:
        del given[given.index("--home") :]
    takes_target = any("--target" in option.opts for option in command.params)
    if takes_target and "--target" not in given and "-t" not in given:
        given += ["--target", "prod"]  # `Deployed.command` adds it
    command.make_context(verb, [*given, "--home", str(tmp_path)])


def strings() -> Iterator[tuple[str, str]]:
    """Every text of the code that is no docstring, no help of a command and no comment, also of a file it writes."""
    for file in sorted(SOURCES.rglob("*.py")):
        tree = ast.parse(file.read_text())
        silent = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        silent |= {id(word.value) for node in ast.walk(tree) if isinstance(node, ast.Call) for word in node.keywords}
        examples = [
            node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "_epilog"
        ]
        silent |= {id(word) for node in examples for word in node.args}
        for node in ast.walk(tree):
            if id(node) in silent:
                continue
            if isinstance(node, ast.JoinedStr):
                yield (
                    f"{file.name}:{node.lineno}",
                    "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values),
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and not node.value.startswith("#"):
                yield f"{file.name}:{node.lineno}", node.value


def test_no_message_writes_a_command_by_hand_that_would_need_a_home():
    by_hand = [
        (where, text)
        for where, text in strings()
        for found in TOLD.finditer(text)
        if found["verb"] not in WITHOUT_HOME and found["verb"] in {**mlops.commands, **laptop.commands}
    ]
    assert by_hand == []


def test_a_command_names_the_home_that_it_is_about(home, monkeypatch):
    assert runtime.command("mlops", "deploy", "3", "--target", "prod") == f"mlops deploy 3 --target prod --home {home}"
    assert runtime.command_line(("mlops", "status"), Path("/a b")) == "mlops status --home '/a b'"
    monkeypatch.delenv("LAPTOP_HOME")
    assert runtime.command("mlops", "deploy", "3") == "mlops deploy 3"
