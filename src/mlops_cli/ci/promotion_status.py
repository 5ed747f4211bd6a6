"""Lists the steps of a version's promotion from tags and aliases. No decision depends on it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mlops.release.version_record import ShownTags


@dataclass(frozen=True)
class PromotionStep:
    """One step of a promotion."""

    name: str
    state: Literal["done", "waiting", "refused", "open"]
    what: str


@dataclass(frozen=True)
class Copy:
    """A version of the target whose tag names the promoted version as its source."""

    number: int
    shown: ShownTags
    digest: str
    """Current digest of its files."""


def promotion_status(
    source: ShownTags,
    copies: Sequence[Copy],
    *,
    digest: str,
    champion: int | None,
    target_options: Sequence[str],
) -> tuple[PromotionStep, ...]:
    """List the steps of a version's promotion into a target, as tags and aliases show them.

    Args:
        source: tags of the version in the target below.
        copies: its copies in the target, oldest first.
        digest: digest of the version's files now.
        champion: number of the target's champion; None: there is none.
        target_options: how a command names the target: --target and, on a laptop, --home.
    """
    accepted = source.verdict == "accepted"
    steps = [PromotionStep("source", "done" if accepted else "refused", f"verdict there: {source.verdict or 'none'}")]
    copy = copies[0] if copies else None
    number, shown = (copy.number, copy.shown) if copy else (None, ShownTags())
    steps.append(PromotionStep("copy", "done" if copy else "open", f"version {number}" if copy else "not made yet"))
    if len(copies) > 1:
        numbers = [copy.number for copy in copies]
        steps.append(PromotionStep("copies", "refused", f"{len(copies)} copies of one version: {numbers}"))
    if copy and not copy.digest == digest == shown.promoted_from.rpartition("@")[2]:
        steps.append(PromotionStep("digest", "refused", "the copy's files are not the source's"))
    verdict = shown.verdict
    state: Literal["done", "refused", "open"] = "refused" if verdict else "open"
    state = "done" if verdict == "accepted" else state
    steps.append(PromotionStep("verdict", state, verdict or "not judged here yet"))
    serves = number is not None and number == champion
    approved = bool(shown.approved_by)
    approve = shlex.join(["mlops", "approve", str(number or "N"), *target_options])
    waits: Literal["waiting", "open"] = "waiting" if state == "done" else "open"
    by = f"by {shown.approved_by}" if approved else f"a person decides: {approve}"
    if serves and not approved:
        by = "automatic in this target"
    steps.append(PromotionStep("approval", "done" if approved or serves else waits, by))
    steps.append(
        PromotionStep("champion", "done" if serves else "open", f"version {champion}" if champion else "none yet")
    )
    return tuple(steps)
