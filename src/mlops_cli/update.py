"""`mlops update`: merge a newer template into a fork and keep what the fork owns."""

from __future__ import annotations

import json
import tempfile
from contextlib import suppress
from pathlib import Path

import click

from mlops.contract import ConfigError, MlopsError
from mlops_cli import options
from mlops_cli.adopt import (
    FLIGHTS,
    NOTES,
    list_edits,
    must_be_clean,
    read_names,
)
from mlops_cli.checkout import run_program
from mlops_cli.checkout_checks import check_checkout, find_failures, write_generated

OWNED = ("src/usecase", "README.md", ".github/CODEOWNERS")
"""Files that belong to the fork: they stay unchanged, whatever the template did."""
GENERATED = (
    "uv.lock", "tests/bundle/golden", "docs/reference/jobs.md", "docs/reference/tables.md",
    "docs/reference/commands.md",
)  # fmt: skip
"""Generated files. They are written anew after the merge, so the template's version is taken first."""


def merge_template(reference: str) -> list[str]:
    """Merge a commit of the template into the checkout, without a commit.

    Files of `OWNED` stay as they are, and so do files that the fork has deleted. All other files are merged by git;
    only lines that both sides changed are conflicts.

    Returns:
        The files that git could not merge.

    Raises:
        ConfigError: the commit is not there, or shares no history with the checkout.
        MlopsError: git does not merge, as without a name and address, or over a file that is not tracked.
    """
    commit = run_program("git", "rev-parse", "--verify", "--quiet", f"{reference}^{{commit}}", check=False).strip()
    if not commit:
        raise ConfigError(f"git knows no commit {reference!r}: add the template as a remote and fetch it first")
    base = run_program("git", "merge-base", "HEAD", commit, check=False).strip()
    if not base:
        raise ConfigError(
            f"{reference} shares no history with this checkout, so git cannot tell who changed what; once, run "
            "`git merge -s ours --allow-unrelated-histories COMMIT` with the commit of the template that you began with"
        )
    try:
        run_program("git", "merge", "--no-ff", "--no-commit", commit)
    except MlopsError:
        if _find_merged() != commit:  # else some lines are conflicts
            raise
    if not _find_merged():
        return []  # it is there already
    removed = (path for path in FLIGHTS if _list_files(base, path) and _list_files("HEAD", path) <= {NOTES})
    _keep_own({*OWNED, *removed}, commit)
    for path in GENERATED:
        if _list_files(commit, path):
            run_program("git", "checkout", commit, "--", path)
    _merge_renamed(base, commit)
    return _list_unmerged()


def _find_merged() -> str:
    """Return the commit of a merge that is not committed yet, or ""."""
    return run_program("git", "rev-parse", "--verify", "--quiet", "MERGE_HEAD", check=False).strip()


def _merge_renamed(base: str, commit: str) -> None:
    """Merge files in which `mlops adopt` changed names again, with the same names in both versions of the template.

    Otherwise each line that the template changed beside a name would be a conflict in every fork.
    """
    try:
        names = read_names(_read_file("HEAD", "databricks.yml"))
    except ConfigError:  # the fork has moved its names elsewhere: keep git's merge
        return
    for file in _list_unmerged():
        edits = [edit for edit in list_edits(names, names) if edit.file == file]
        if not edits:
            continue
        with tempfile.TemporaryDirectory() as folder:
            for side, version in (("own", "HEAD"), ("base", base), ("theirs", commit)):
                text = _read_file(version, file)
                for edit in () if side == "own" else edits:
                    with suppress(ConfigError):  # the template did not name it yet
                        text = edit.apply(text)
                (Path(folder) / side).write_text(text)
            sides = [str(Path(folder) / side) for side in ("own", "base", "theirs")]
            merged = run_program("git", "merge-file", "--stdout", *sides, check=False)
        if "<<<<<<<" not in merged:
            Path(file).write_text(merged)
            run_program("git", "add", "--", file)


def _read_file(commit: str, file: str) -> str:
    return run_program("git", "show", f"{commit}:{file}", check=False)


def _keep_own(paths: set[str], commit: str) -> None:
    """Restore the fork's own files, and delete the template's new files in places that belong to the fork."""
    for path in sorted(paths):
        own, template_files = _list_files("HEAD", path), _list_files(commit, path)
        if own:
            run_program("git", "checkout", "HEAD", "--", path)
        for file in template_files - own:
            run_program("git", "rm", "--quiet", "--force", "--ignore-unmatch", "--", file)
    before = _list_files("HEAD", ".")
    for file in _list_unmerged():  # the fork deleted or moved it, and the template changed it
        if file not in before:
            run_program("git", "rm", "--quiet", "--force", "--ignore-unmatch", "--", file)


def _list_files(commit: str, path: str) -> set[str]:
    listed = run_program("git", "ls-tree", "-r", "-z", "--name-only", commit, "--", path, check=False)
    return {name for name in listed.split("\0") if name}


def _list_unmerged() -> list[str]:
    listed = run_program("git", "diff", "--name-only", "--diff-filter=U", "-z")
    return sorted({name for name in listed.split("\0") if name})


@click.command(epilog=options.EXITS)
@click.argument("reference")
@click.option("--merge-only", is_flag=True, help="Only merge: write no generated files and run no checks.")
@options.output
def update(reference: str, *, merge_only: bool, output: str) -> None:
    """Merge a newer template and keep what is yours.

    src/usecase, README.md, code owners and what you have deleted stay as they are. The merge is left uncommitted:
    look at it, then commit it, or undo it by `git merge --abort`.

    Example: mlops update template/main
    """
    must_be_clean()
    before = {} if merge_only else find_failures()
    unmerged, notes = merge_template(reference), list[str]()
    if not unmerged and not merge_only:
        write_generated()
        run_program("git", "add", "--update")
        notes = check_checkout(before)
    changed = run_program("git", "diff", "--cached", "--name-only", "HEAD").split()
    if output == "json":
        click.echo(json.dumps({"merged": reference, "changed": changed, "conflicts": unmerged, "failed_before": notes}))
    else:
        options.print_line(f"merged {reference}: {len(changed)} files changed", *unmerged, *notes)
    if unmerged:
        raise MlopsError(
            f"{len(unmerged)} files have lines that both sides changed: mend them and `git add` them, then run "
            "`uv run laptop validate --write-plans`, `uv run python tests/docs/generate_pages.py` and .ci/run"
        )
    if output == "text":
        options.print_line("next: .ci/run, then git commit" if _find_merged() else "nothing to merge: it is the newest")
