"""Checks that some job of some target writes each schema that a job reads, as the laptop resolves them.

laptop.yml names the parameters: `tables: {written: [catalog, schema], read: [data_catalog, data_schema]}`.
"""

from __future__ import annotations

from collections.abc import Iterator

from laptop.bundle import BundleSource, resolve_target
from laptop.document import Diagnostic, Location, Node
from laptop.lint.model import list_items, text_at
from laptop.lint.project import Project

Read = tuple[tuple[str, ...], str, tuple[Location, ...]]
"""Catalog and schema, the job that reads them, and the place where each of them is written."""


def check_reads(source: BundleSource, project: Project) -> Iterator[Diagnostic]:
    """A job of some target writes each pair of catalog and schema that a job reads."""
    written, read = project.settings.tables
    if not written or not read:
        return
    bundles = [resolve_target(source, target)[0].tree for target in source.targets]
    jobs = [(key, job) for tree in bundles if (group := tree.get("resources", "jobs")) for key, job in group.items()]
    known = {values for key, job in jobs for values, _, _ in _values(key, job, written)}
    readers: dict[tuple[str, ...], dict[str, Location]] = {}
    for job_key, job in jobs:
        for values, reader, at in _values(job_key, job, read):
            # The place of the first name that no job writes: that of the schema, if some job writes the catalog.
            written_so_far = [any(pair[: n + 1] == values[: n + 1] for pair in known) for n in range(len(values))]
            readers.setdefault(values, {}).setdefault(reader, at[min(sum(written_so_far), len(at) - 1)])
    for values, places in readers.items():
        if values not in known:
            what = f"{', '.join(places)}: no job of any target writes {'.'.join(values)}, which they read"
            have = ", ".join(sorted(".".join(pair) for pair in known))
            cure = f"mend {' and '.join(read)} in laptop.yml or in the bundle; written are {have}"
            yield Diagnostic("tables", min(places.values()), what, "the jobs find no tables", cure)


def _values(key: str, job: Node, names: tuple[str, ...]) -> Iterator[Read]:
    """Yield the defaults of the named parameters of a job, if it has all of them."""
    parameters = {text_at(item, "name"): item for item in list_items(job, "parameters")}
    if all(name in parameters for name in names):
        places = tuple((parameters[name].get("default") or job).place for name in names)
        yield tuple(text_at(parameters[name], "default") for name in names), key, places
