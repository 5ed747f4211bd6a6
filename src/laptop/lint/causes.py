"""Merges problems of one cause: problems that one corrected name would end are reported as one.

The linter finds the cause by experiment. It corrects one name that the problems mention, at one place of the bundle,
and lints the corrected bundle. Problems that are gone had that name as their cause. A correction that adds a new
problem is dropped.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from laptop.bundle import BundleSource, merge_files
from laptop.document import Diagnostic, Location, Node

TRIALS = 40
"""Largest number of corrections that are tried."""
PATIENCE = 6
"""Number of further corrections that are tried after the best one, before the search for the next cause."""
BUDGET = 60_000
"""Largest number of nodes that are linted for them: a bundle of more than 2,000 nodes gets fewer trials."""
PLACES = 3
"""A name at more places than this is taken for a typing error only where a problem quotes it."""
SIMILAR = 0.75
"""Smallest similarity of a name to the one that was probably meant (difflib's ratio)."""
MEANT = 10
"""Number of names, those that problems quote most, that are tried for a name without a similar one."""
UPPER_KEYS = ("resources", "variables", "targets", "include")
"""Keys of the root and of targets whose loss causes the most problems."""
KINDS = ("jobs", "schemas", "volumes", "experiments")
"""Keys of resources: other resources name what is below them."""
_NAME = re.compile(r"[\w-]+")
_QUOTED = re.compile(r"'[\w-]+'|\{[^{}]*\}")
_UPPER_KEY = re.compile(r"(?:databricks\.yml|targets\.[\w-]+) has no key '([\w-]+)'")
"""Message about an unknown key of the root or of a target; everything below such a key is missing."""
_KIND = re.compile(r"(?:^|\.)resources has no key '([\w-]+)'")
"""The same of an unknown kind of resource."""
_REFERENCE = re.compile(r"\{[^{}]*\}")
Written = dict[str, set[Location]]


@dataclass(frozen=True)
class _Correction:
    """The bundle with one name corrected at one place."""

    source: BundleSource
    place: Location
    wrong: str
    right: str


def merge_consequences(
    source: BundleSource, problems: Sequence[Diagnostic], lint: Callable[[BundleSource], Sequence[Diagnostic]]
) -> list[Diagnostic]:
    """Return the causes of several problems each, then the other problems; both in the order of `problems`.

    Args:
        source: the bundle that was linted.
        problems: its problems.
        lint: finds the problems of a corrected bundle.
    """
    causes: list[Diagnostic] = []
    budget = min(TRIALS, BUDGET // sum(1 for tree in _trees(source) for _ in tree.walk()))
    while _may_have_cause(problems) and budget > 0:
        best, left, tried = None, problems, 0
        for correction in islice(_corrections(source, problems), budget):
            budget, tried = budget - 1, tried + 1
            after = lint(correction.source)
            if set(after) < set(problems) and len(after) < len(left) and _may_have_cause({*problems} - {*after}):
                best, left, tried = correction, after, 0
            if not left or (best and tried == PATIENCE):
                break
        if best is None:
            break
        causes.append(_report_cause(best, [problem for problem in problems if problem not in set(left)]))
        source, problems = best.source, left
    return [*sorted(causes, key=lambda cause: cause.location), *problems]


def _may_have_cause(problems: Collection[Diagnostic]) -> bool:
    """Whether a search can help: there are several problems, or a resource or artifact is incomplete."""
    return len(problems) > 1 or any(problem.rule in {"required", "wheel"} for problem in problems)


def _trees(source: BundleSource) -> list[Node]:
    return [*source.files, source.laptop]


def _report_cause(correction: _Correction, ended: Sequence[Diagnostic]) -> Diagnostic:
    """Return the problem that is reported at the name's place; else a new one that counts the ended problems."""
    cure = f"did you mean {correction.right!r}?"
    here = [
        problem for problem in ended if problem.location == correction.place and correction.wrong in problem.summary
    ]
    for problem in here:
        if problem.fix == cure or len(here) == 1:
            return replace(problem, fix=cure)
    meant = re.compile(rf"\b{re.escape(correction.right)}\b")
    shown = next((problem for problem in ended if meant.search(problem.summary)), ended[0])
    what = f"the name {correction.wrong!r} causes {len(ended)} problem{'s' * (len(ended) > 1)}"
    return Diagnostic(shown.rule, correction.place, what, f"as {shown.location}: {shown.summary}", cure)


def _corrections(source: BundleSource, problems: Sequence[Diagnostic]) -> Iterator[_Correction]:
    """Yield bundles with one correction each, the most likely first."""
    trees = _trees(source)
    written: Written = {}
    for tree in trees:
        for name, place in _names(tree):
            written.setdefault(name, set()).add(place)
    for wrong, right in _pairs(problems, written):
        suspects = written[wrong]
        if len(suspects) > PLACES:
            quoted = re.compile(rf"['.]{re.escape(wrong)}\b")
            suspects = {problem.location for problem in problems if quoted.search(problem.summary)} & suspects
        for place in sorted(suspects) if len(suspects) <= PLACES else ():
            *files, laptop = (_rename_at(tree, place, wrong, right) for tree in trees)
            merged = merge_files(source.root, tuple(files), laptop)
            unread = [problem for problem in source.problems if problem.rule == "unknown"]  # keys of laptop.yml
            whole = replace(merged, problems=(*unread, *merged.problems), misfits=source.misfits)
            yield _Correction(whole, place, wrong, right)


def _pairs(problems: Sequence[Diagnostic], written: Written) -> list[tuple[str, str]]:
    """List pairs of a written name and the name that may be meant, the most likely first.

    Similar names come first, ordered by the number of problems that mention the two. A name that is written once is
    also paired with each name that problems quote often.
    """
    texts = [problem.summary + problem.fix * problem.fix.startswith("did you mean") for problem in problems]
    spoken = Counter(name for text in texts for name in set(_NAME.findall(text)))
    quoted = Counter(name for text in texts for part in set(_QUOTED.findall(text)) for name in _NAME.findall(part))
    known = [*spoken, *(name for name in written if name not in spoken)]
    scores: dict[tuple[str, str], tuple[bool, float, float]] = {}
    for wrong in spoken.keys() & written.keys():
        for right in difflib.get_close_matches(wrong, known, n=4, cutoff=SIMILAR):
            likeness = difflib.SequenceMatcher(a=wrong, b=right).ratio()
            scores[wrong, right] = (True, spoken[wrong] + spoken[right], likeness)
        for right, count in quoted.most_common(MEANT) if len(written[wrong]) == 1 else ():
            scores.setdefault((wrong, right), (False, spoken[wrong] + count, 0.0))
    for message, keys in ((_UPPER_KEY, UPPER_KEYS), (_KIND, KINDS)):
        for wrong in {key for text in texts for key in message.findall(text)} & written.keys():
            for right in keys:  # before all others, since many of them quote what is missing below such a key
                scores[wrong, right] = (True, 3 * len(texts), 0.0)
    likely = [pair for pair in scores if pair[0] != pair[1]]
    return sorted(likely, key=lambda pair: (scores[pair], pair), reverse=True)


def _names(node: Node) -> Iterator[tuple[str, Location]]:
    """Yield the keys of a tree, its texts that are names, and the names in references within texts."""
    for below in node.walk():
        yield from ((key, child.place) for key, child in below.items())
        if isinstance(below.value, str):
            texts = [below.value] if _NAME.fullmatch(below.value) else _REFERENCE.findall(below.value)
            yield from ((name, below.place) for text in texts for name in _NAME.findall(text))


def _rename_at(node: Node, place: Location, wrong: str, right: str) -> Node:
    """Return a tree in which one name at a place is replaced by another."""
    value = node.value
    if isinstance(value, dict):
        free = right not in value  # else a sibling would be lost
        value = {
            right if free and key == wrong and child.place == place else key: _rename_at(child, place, wrong, right)
            for key, child in value.items()
        }
    elif isinstance(value, list):
        value = [_rename_at(item, place, wrong, right) for item in value]
    elif node.place == place and type(value) is str:  # a Moment is no name
        value = re.sub(rf"(?<![\w-]){re.escape(wrong)}(?![\w-])", right, value)
    return Node(value, node.place, node.anchor)
