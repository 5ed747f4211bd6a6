"""Reads the variable DEPLOY_TARGETS, which names the targets that have a workspace."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mlops.contract import ConfigError


def parse_deploy_targets(text: str, order: Sequence[str]) -> tuple[str, ...]:
    """Read which targets a pipeline may touch, in their order; an empty text means none.

    Args:
        text: names with spaces or commas between them, as in "staging, prod".
        order: every target that pipelines deploy, each after the one in which a release must succeed first.

    Raises:
        ConfigError: a name is no target, or a target is named without those before it.
    """
    names = {name for name in re.split(r"[\s,]+", text) if name}
    if unknown := sorted(names - set(order)):
        raise ConfigError(f"DEPLOY_TARGETS names {unknown[0][:40]!r}: write one or more of {', '.join(order)}")
    targets = tuple(name for name in order if name in names)
    if targets != tuple(order[: len(targets)]):
        missing = next(name for name in order if name not in names)
        raise ConfigError(f"DEPLOY_TARGETS names {targets[-1]} without {missing}, which proves a release first: add it")
    return targets
