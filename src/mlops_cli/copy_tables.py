"""`mlops copy-tables` copies the tables of a schema of `hive_metastore` into a catalog, and proves each copy."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from typing import Any

import click

from mlops.contract import MlopsError
from mlops_cli import options, warehouse
from mlops_cli.legacy_tables import (
    TableFacts,
    copy_statement,
    describe_difference,
    parse_facts,
    proof_statement,
    quote_name,
)

_SCHEMA = re.compile(r"[A-Za-z0-9_]{1,255}\.[A-Za-z0-9_]{1,255}")
_COPY_LIMIT = 4 * 60 * 60
"""Seconds to wait for one table. The warehouse continues after it, and a second run of the command proves the copy."""


class _SchemaName(click.ParamType[str]):
    """Type of an argument catalog.schema of letters, digits and underscores."""

    name = "catalog.schema"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name; fail if it has another form."""
        if not _SCHEMA.fullmatch(value):
            self.fail(f"{value!r} is no schema: write catalog.schema, as in hive_metastore.flights", param, ctx)
        return value


@dataclass(frozen=True)
class TableResult:
    """Result of one table."""

    source: str
    target: str
    done: str
    """copied, was there, would copy, would prove, left out or failed."""
    rows: str | None = None
    problem: str | None = None
    statements: list[str] = field(default_factory=list)


@click.command(
    "copy-tables", epilog="Exit codes: 0 all is there and proved, or shown, 1 a table is not, 2 wrong arguments."
)
@click.argument("source", type=_SchemaName())
@click.argument("target", type=_SchemaName())
@click.option("--prefix", default="", metavar="TEXT", help="Prefix of the name of each copy, as in old_.")
@click.option("--in-place", is_flag=True, help="Leave the files of external tables where they are (SYNC).")
@click.option("--run", "runs", is_flag=True, help="Run the statements. Without it they are shown.")
@options.output
def copy_tables(*, source: str, target: str, prefix: str, in_place: bool, runs: bool, output: str) -> None:
    """Copy tables of hive_metastore into a catalog.

    A SQL warehouse runs it, and compares columns, number of rows and a sum of hashes of all rows with the source. It
    overwrites and deletes nothing; a second run copies what is missing and proves the rest.

    Example: mlops copy-tables hive_metastore.flights prod.flights --prefix old_
    """
    if target.startswith("hive_metastore."):
        raise click.UsageError("the copies go into a catalog of Unity Catalog, not into hive_metastore")
    if not re.fullmatch(r"\w*", prefix, re.ASCII):
        raise click.UsageError("--prefix takes letters, digits and underscores")
    views = {row["viewName"] for row in _ask(f"listing the views of {source}", f"SHOW VIEWS IN {_quote(source)}")}
    there = _list_tables(target)
    results = []
    for name in _list_tables(source):
        old, new = (*source.split("."), name), (*target.split("."), f"{prefix}{name}")
        result = (
            TableResult(".".join(old), ".".join(new), "left out", problem="it is a view: make it anew from the copies")
            if name in views
            else _treat_table(old, new, in_place=in_place, exists=new[2].lower() in map(str.lower, there), runs=runs)
        )
        results.append(result)
        if output == "text":
            _print_result(result)
    if output == "json":
        click.echo(json.dumps([asdict(result) for result in results], indent=1))
    if not results:
        raise MlopsError(f"{source} has no table, or you may not see it: name a schema that has some")
    if any(result.done == "failed" for result in results):
        raise click.exceptions.Exit(1)


def _treat_table(
    old: tuple[str, ...], new: tuple[str, ...], *, in_place: bool, exists: bool, runs: bool
) -> TableResult:
    """Copy one table unless it is there, and prove the copy; or only list the statements."""
    names, statements = (".".join(old), ".".join(new)), list[str]()
    source, target = quote_name(*old), quote_name(*new)

    def make_failure(problem: str) -> TableResult:
        return TableResult(*names, "failed", problem=problem, statements=statements)

    try:
        facts = _describe(source, names[0])
        proofs = [proof_statement(name, facts.columns) for name in (source, target)]
        copy = copy_statement(source, target, facts, in_place=in_place)
        statements += [*([] if exists else [copy]), *proofs]
        if not runs:
            return TableResult(*names, "would prove" if exists else "would copy", statements=statements)
        if not exists:
            _check_sync(_ask(f"copying {names[0]}", copy, _COPY_LIMIT))
        before, after = (_ask(f"counting {name}", proof)[0] for name, proof in zip(names, proofs, strict=True))
        problem = describe_difference((facts, before), (_describe(target, names[1]), after))
    except MlopsError as error:
        return make_failure(str(error))
    if problem:
        return make_failure(
            f"{names[1]} is not the copy of {names[0]}: {problem}; drop it and run this again, or give --prefix"
        )
    return TableResult(
        *names, "was there" if exists else "copied", rows=str(before["row_count"]), statements=statements
    )


def _check_sync(answer: list[dict[str, Any]]) -> None:
    """Raise MlopsError if SYNC failed. Its answer is a row with a status; other statements raise by themselves."""
    for row in answer:
        if row.get("status_code", "SUCCESS") != "SUCCESS":
            raise MlopsError(
                f"SYNC says {row['status_code']}: {row.get('description')}; leave --in-place out to copy it"
            )


def _describe(quoted: str, name: str) -> TableFacts:
    return parse_facts(_ask(f"reading the columns of {name}", f"DESCRIBE TABLE EXTENDED {quoted}"))


def _list_tables(schema: str) -> list[str]:
    rows = _ask(f"listing the tables of {schema}", f"SHOW TABLES IN {_quote(schema)}")
    return sorted(str(row["tableName"]) for row in rows if str(row.get("isTemporary", "false")).lower() != "true")


def _quote(schema: str) -> str:
    return quote_name(*schema.split("."))


def _ask(doing: str, statement: str, timeout: int = 60 * 60) -> list[dict[str, Any]]:
    return warehouse.run_statement(doing, statement, timeout=timeout)


def _print_result(result: TableResult) -> None:
    """Print one line per table; a dry run prints the SQL statements, which a person can run."""
    if result.done.startswith("would"):
        options.print_line(f"-- {result.done} {result.source} as {result.target}")
        options.print_line(*(f"{statement};" for statement in result.statements))
        return
    outcome = f"{result.rows} rows proved" if result.rows is not None else f"{result.problem}"
    options.print_line(f"{result.done:9}  {result.source} as {result.target}: {outcome}", err=result.done == "failed")
