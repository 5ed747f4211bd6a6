"""Task promotion: copy a version of the target below. Copies the files unchanged; drops verdict and approval."""

from __future__ import annotations

from dataclasses import replace

from mlops.config import PromotionConfig
from mlops.context import Context, task
from mlops.contract import ModelError, UntrustedModel
from mlops.contract.model_version import Version
from mlops.platform import runtime
from mlops.platform.model_scan import artifact_digest
from mlops.release import aliases, audit_log
from mlops.release.model_owner import check_model_owner
from mlops.release.version_record import FACTS, ShownTags, read_record


def run(job: Context[PromotionConfig]) -> None:
    """Copy the version once: a repeat finds the copy and sets the task value to its number."""
    source = job.registry.get_version(job.config.source_model, job.config.source_version)
    record = read_record(audit_log.read_rows(job.source, source.model), source.number)
    verdict = record.verdict
    if verdict is None or not record.is_accepted:
        answer = "rejected" if record.rejection else verdict.verdict if verdict else "no verdict"
        raise ModelError(
            f"{source} was not accepted where it comes from ({answer}): promote a version that is accepted there"
        )
    check_model_owner(job)
    origin = f"{source.model}/{source.number}@{verdict.artifact_digest}"
    if not _find_copies(job, origin):
        shown = replace(record.display_tags, promoted_from=origin, verdict="", approved_by="", report="", record="")
        job.registry.copy_version(source, job.config.model_name, shown.to_tags())
    version = _copy_once(job, origin)
    _compare_digests(job, verdict.artifact_digest, version)
    row = audit_log.new_row(
        job, "promotion", version, source=origin, reason=f"version {source.number} of {source.model}",
        **{name: getattr(verdict, name) for name in FACTS},
    )  # fmt: skip
    new = audit_log.add_row(
        job, row, lambda rows: any(known.move == "promotion" and known.source == origin for known in rows)
    )
    aliases.show_record(job, version, new or audit_log.load_rows(job))
    runtime.set_task_value("model_version", str(version.number))
    job.log.info("%s %s %s", source, "promoted as" if new else "was promoted before as", version)


def _find_copies(job: Context[PromotionConfig], origin: str) -> list[Version]:
    """List the complete copies of one source version, oldest first; a copy whose files are incomplete is left out."""
    versions = job.registry.list_versions(job.config.model_name)
    return [version for version in versions if version.ready and ShownTags.of(version).promoted_from == origin]


def _copy_once(job: Context[PromotionConfig], origin: str) -> Version:
    """Return the oldest copy and delete the others, which concurrent runs made; each of these takes the oldest, too."""
    first, *duplicates = _find_copies(job, origin)
    for duplicate in duplicates:
        if not duplicate.aliases:
            job.registry.delete_version(duplicate)
    return first


def _compare_digests(job: Context[PromotionConfig], expected: str, version: Version) -> None:
    """Compare the digest of the copy's files with the digest that the verdict was given on."""
    with job.registry.fetch_files(version) as folder:
        actual = artifact_digest(folder)
    if actual != expected:
        job.registry.delete_version(version)
        raise UntrustedModel(
            f"the copy {version} had digest {actual[:12]}, its source {expected[:12] or 'none'}: "
            "the copy was deleted; check who can write to the folder of the files, then promote again"
        )


main = task(run)
