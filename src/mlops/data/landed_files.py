"""Find the files that a run of ingestion has to read, and what the ledger knows of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from mlops.config import IngestionConfig
from mlops.context import Context
from mlops.contract import DataError
from mlops.data import archive, landing, ledger, source_tables, table_schemas
from mlops.data.file_formats import describe_endings
from mlops.data.landing import LandedFile
from mlops.data.ledger import KnownContent, ListedFiles

NAMED = 10
"""Number of files or reasons that the log names; the page of a batch has every reason."""


@dataclass(frozen=True)
class LandedFiles:
    """The files that a run finds."""

    existing: Collection[str]
    """Sources that have a table."""
    filled: set[str]
    """Those of them whose tables hold earlier batches."""
    landed: list[LandedFile]
    """New files, by name."""
    read: list[LandedFile]
    """Files whose rows are in tables."""
    newest: int
    """Number of the newest batch; 0: there is none."""
    version: int
    """Version of the ledger that all this is from."""
    known: KnownContent = field(default_factory=KnownContent)


def find_landed(job: Context[IngestionConfig]) -> LandedFiles:
    """List the landing folder, with the archived files of tables that are to be filled again.

    Raises:
        DataError: there is no file, and there never was one.
    """
    sources = job.use_case.sources
    existing = {source.name for source in sources if job.own.exists(source.name)}
    version = job.own.newest_version("ledger") if job.own.exists("ledger") else 0
    source_tables.land_tables(job)
    listed, unread = landing.list_files(job.config.landing, sources)
    # Not read as of `version`, which takes a statement: if another run writes meanwhile, the ledger cannot be written.
    recorded = ledger.find_listed(job.own.read_table("ledger"), existing, listed) if version else ListedFiles()
    filled = {name for name in existing if recorded.is_filled(name)}
    landed, more = archive.list_archived(job.config.landing, [s for s in sources if s.name not in filled])
    landed += [file for file in listed if file.identity not in recorded.read]
    landed.sort(key=lambda file: (file.name, file.source))
    if unread := [*unread, *more]:
        job.log.warning("%s", _describe_ignored(job, unread))
    if not landed and not recorded.newest:
        raise DataError(
            f"the landing folder {job.config.landing} holds no file of a source: run the job 'sample', or land your own"
            f"{f'; {_describe_ignored(job, unread)}' if unread else ''}"
        )
    if _note_deleted(job, existing, recorded, landed, version):
        version += 1
    files = LandedFiles(
        existing, filled, landed, [file for file in listed if file.identity in recorded.read],
        max(recorded.newest.values(), default=0), version,
    )  # fmt: skip
    if not (landed and recorded.newest):
        return files
    known = ledger.find_known_content(job.own.read_table("ledger"), existing, landed, recorded)
    return replace(files, known=known)


def _note_deleted(
    job: Context[IngestionConfig],
    existing: Collection[str],
    recorded: ListedFiles,
    landed: Sequence[LandedFile],
    version: int,
) -> bool:
    """Write to the ledger which sources have lost their tables, before these are made anew; returns whether any has."""
    rows = []
    for name in (s.name for s in job.use_case.sources if s.name not in existing and recorded.is_filled(s.name)):
        files = sum(file.source == name for file in landed)
        cure = f"the rows of {files} files fill it again" if files else "no file of it is left, so land them again"
        job.log.warning("%s was deleted: %s", job.own.full_name(name), cure)
        rows.append((name, None, ledger.NO_FILE, None, None, recorded.newest[name], None, None, job.config.as_of))
    if rows:
        job.own.append_once("ledger", table_schemas.make_frame(job.own, "ledger", rows), version)
    return bool(rows)


def _describe_ignored(job: Context[IngestionConfig], names: Sequence[str]) -> str:
    endings = sorted({describe_endings(source.files) for source in job.use_case.sources})
    place = f"{job.config.landing}, where files are <source>/<name> with the ending {' or '.join(endings)}"
    return f"not read in {place}: {name_some(names)}"


def name_some(names: Sequence[str]) -> str:
    """List the first ten names, and say how many more there are."""
    return f"{', '.join(names[:NAMED])}{f' and {len(names) - NAMED} more' if len(names) > NAMED else ''}"
