"""Copy one version of the target below to this target's model: byte for byte, and without its laurels."""

from __future__ import annotations

from mlops.adapters import platform
from mlops.adapters.inspection import artifact_digest
from mlops.adapters.registry import Version
from mlops.config import PromotionConfig
from mlops.contract import ModelError, UntrustedModel
from mlops.jobs import _audit
from mlops.jobs._audit import Entry
from mlops.jobs._launch import Context, task

_DROPPED = ("verdict", "approval", "champion_", "validation_", "judged_", "promoted_", "rejected_", "trained_in")
"""Tags that begin so are about the target that the version comes from."""


def run(job: Context[PromotionConfig]) -> None:
    """Copy once per source version: a repeat finds the copy and passes its number on."""
    source = job.registry.version(job.config.source_model, job.config.source_version)
    if source.tags.get("verdict") != "accepted":
        raise ModelError(f"{source} was not accepted where it comes from ({source.tags.get('verdict', 'no verdict')})")
    origin = f"{source.model}/{source.number}@{source.tags.get('artifact_digest')}"
    if not _copies(job, origin):
        kept = {name: text for name, text in source.tags.items() if not name.startswith(_DROPPED)}
        made = {"promoted_from": origin, "promoted_by": platform.identity()}
        job.registry.copy(source, job.config.model_name, kept | made)
    version = _one(job, origin)
    _compare(job, source, version)
    entry = Entry("promotion", version, None, origin, f"version {source.number} of {source.model}")
    new = _audit.add(job, entry, lambda rows: any(row.move == "promotion" and row.source == origin for row in rows))
    platform.set_task_value("model_version", str(version.number))
    job.log.info("%s %s %s", source, "promoted as" if new else "was promoted before as", version)


def _copies(job: Context[PromotionConfig], origin: str) -> list[Version]:
    """Copies of one source version, oldest first; one whose files are not all there yet is none."""
    versions = job.registry.versions(job.config.model_name)
    return [version for version in versions if version.ready and version.tags.get("promoted_from") == origin]


def _one(job: Context[PromotionConfig], origin: str) -> Version:
    """The oldest copy. Others come from runs at the same moment, each of which takes the oldest one, too."""
    first, *others = _copies(job, origin)
    for other in others:
        if not other.aliases:
            job.registry.delete(other)
    return first


def _compare(job: Context[PromotionConfig], source: Version, version: Version) -> None:
    """Hold the copy's own bytes against the digest that the verdict was given on."""
    with job.registry.fetch(version) as folder:
        found = artifact_digest(folder)
    if found != (wanted := source.tags.get("artifact_digest", "none")):
        job.registry.delete(version)
        raise UntrustedModel(
            f"the copy {version} had digest {found[:12]}, its source {wanted[:12]}: "
            "the copy was deleted; look at who can write where the files lie, then promote again"
        )


main = task(run)
