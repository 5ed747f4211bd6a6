"""Write the generated parts of docs/reference: `python tests/docs/generate_pages.py`.

A generated part stands between `<!-- generated: NAME -->` and `<!-- end of NAME -->`. People write the rest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import click

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs/reference"


def render_jobs() -> Iterator[str]:
    """One row per job of target prod: what it does, when it starts, who it runs as, what it takes."""
    from laptop.bundle import load_bundle

    yield "| job | what it does | starts | runs as | parameters | retried tasks |"
    yield "|---|---|---|---|---|---|"
    for name, job in sorted(load_bundle(ROOT, "prod").jobs.items()):
        cron = job.get("schedule", {}).get("quartz_cron_expression")
        identity = job["run_as"]["service_principal_name"].removeprefix("sp-").removesuffix("-prod")
        parameters = ", ".join(f"`{p['name']}`" for p in job["parameters"])
        retried = ", ".join(f"{t['task_key']} ({t['max_retries']})" for t in job["tasks"] if t.get("max_retries"))
        yield f"| {name} | {job['description']} | {_describe_start(cron)} | {identity} | {parameters} | {retried} |"


def _describe_start(cron: str | None) -> str:
    return f"`{cron}` UTC" if cron else "by a person, a pipeline or another job"


def render_tables() -> Iterator[str]:
    """The columns of every table that is the same for each use case."""
    from mlops.data.table_schemas import TABLES, table_columns
    from usecase import USE_CASE

    for name in TABLES:
        yield from (f"### {name}", "", "| column | type | required | meaning |", "|---|---|---|---|")
        for column in table_columns(name, USE_CASE):
            required = "yes" if column.required else ""
            yield f"| `{column.name}` | {column.type} | {required} | {_escape(column.comment)} |"
        yield ""


def render_autologging() -> Iterator[str]:
    """One row per argument of autologging: Databricks' value, ours, what it captures."""
    from mlops.platform.autologging import SETTINGS

    yield "| argument | Databricks | here | what it captures |"
    yield "|---|---|---|---|"
    for name, setting in SETTINGS.items():
        yield f"| `{name}` | {setting.databricks} | {setting.here} | {setting.captures} |"


def render_commands() -> Iterator[str]:
    """Every command with its arguments, options and exit codes, as its own help says them."""
    import laptop.cli
    import mlops_cli.cli

    for name, group in (("laptop", laptop.cli.main), ("mlops", mlops_cli.cli.cli)):
        yield from _render_group(name, group)


def _render_group(path: str, group: click.Group) -> Iterator[str]:
    commands = {f"{path} {name}": command for name, command in sorted(group.commands.items()) if not command.hidden}
    yield from (f"## {path}", "", _paragraphs(group.help), "", _exit_codes(group), "")
    for name, command in commands.items():
        if not isinstance(command, click.Group):
            yield from _render_command(name, command)
    for name, command in commands.items():
        if isinstance(command, click.Group):
            yield from _render_group(name, command)


def _render_command(path: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=path)
    yield from (f"### {path}", "", f"`{command.get_usage(context).removeprefix('Usage: ')}`", "")
    yield from (_paragraphs(command.help), "")
    options = [p for p in command.params if isinstance(p, click.Option) and not p.hidden]
    if options:
        yield from ("| option | meaning |", "|---|---|")
        for option in options:
            names, meaning = option.get_help_record(context) or ("", "")
            yield f"| `{_escape(' '.join(names.split()))}` | {_escape(' '.join(meaning.split()))} |"
        yield ""


def _paragraphs(text: str | None) -> str:
    parts = re.split(r"\n\s*\n", (text or "").replace("\b\n", ""))
    return "\n\n".join(_wrap(_escape(" ".join(part.split()))) for part in parts)


def _exit_codes(command: click.Command) -> str:
    """The sentence on exit codes in a command's epilog; the commands below a group have the same."""
    text = " ".join((command.epilog or "").split())
    return _wrap(text[text.index("Exit codes") :])


def _wrap(text: str) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(text, 100, break_long_words=False, break_on_hyphens=False))


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


PARTS: Mapping[str, tuple[str, Callable[[], Iterator[str]]]] = {
    "jobs": ("jobs.md", render_jobs),
    "tables": ("tables.md", render_tables),
    "commands": ("commands.md", render_commands),
    "autologging": ("autologging.md", render_autologging),
}


def fill_page(text: str, part: str, lines: Iterator[str]) -> str:
    """The page with a generated part replaced by new lines."""
    begin, end = f"<!-- generated: {part} -->", f"<!-- end of {part} -->"
    before, rest = text.split(begin)
    after = rest.split(end)[1]
    return f"{before}{begin}\n\n{chr(10).join(lines).strip()}\n\n{end}{after}"


def render_page(part: str) -> tuple[Path, str]:
    """The path of the page that holds a part, and what has to stand there."""
    file, render = PARTS[part]
    path = REFERENCE / file
    return path, fill_page(path.read_text(), part, render())


def write_pages() -> None:
    for part in PARTS:
        path, text = render_page(part)
        path.write_text(text)


if __name__ == "__main__":
    write_pages()
