"""Copy one version of the target below to this target's model: byte for byte, and without its laurels."""

from __future__ import annotations

from mlops.adapters import platform
from mlops.adapters.inspection import artifact_digest
from mlops.adapters.registry import Version
from mlops.config import PromotionConfig
from mlops.contract import ModelError, UntrustedModel
from mlops.jobs._launch import Context, task

_KEPT = ("artifact_digest", "model_digest", "trained_until", "trained_as_of", "trained_by", "features_version")


def run(job: Context[PromotionConfig]) -> None:
    """Copy once per source version: a repeat finds the copy and passes its number on."""
    source = job.registry.version(job.config.source_model, job.config.source_version)
    if source.tags.get("verdict") != "accepted":
        raise ModelError(f"{source} was not accepted where it comes from ({source.tags.get('verdict', 'no verdict')})")
    origin = f"{source.model}/{source.number}@{source.tags['artifact_digest']}"
    copies = [v for v in job.registry.versions(job.config.model_name) if v.tags.get("promoted_from") == origin]
    version = copies[0] if copies else _copy(job, source, origin)
    platform.set_task_value("model_version", str(version.number))
    job.log.info("%s %s %s", source, "was promoted before as" if copies else "promoted as", version)


def _copy(job: Context[PromotionConfig], source: Version, origin: str) -> Version:
    version = job.registry.copy(source, job.config.model_name, keep=_KEPT)
    with job.registry.fetch(version) as folder:
        found = artifact_digest(folder)
    if found != source.tags["artifact_digest"]:
        raise UntrustedModel(
            f"the copy {version} has digest {found[:12]}, its source {source.tags['artifact_digest'][:12]}"
        )
    job.registry.tag(version, {"promoted_from": origin, "promoted_by": platform.identity()})
    return job.registry.version(version.model, version.number)


main = task(run)
