"""What ingestion found, as one page that needs nothing else: no network, no script.

(Rejected: Great Expectations' own pages, which fetch scripts from elsewhere and fail on numpy 2.)
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

_EXAMPLES = 5


def page(title: str, subtitle: str, feeds: Sequence[Any], problems: Sequence[str]) -> str:
    """HTML of one delivery.

    Args:
        title: heading.
        subtitle: when and by what it was made.
        feeds: one `mlops.lifecycle.judging.Judged` per source.
        problems: why it was blocked; none: it was published.
    """
    from jinja2 import Environment, PackageLoader

    templates = Environment(loader=PackageLoader("mlops", "adapters"), autoescape=True, trim_blocks=True)
    return templates.get_template("datapage.html").render(
        title=title, subtitle=subtitle, feeds=feeds, problems=problems, examples=_examples
    )


def _examples(feed: Any, rule: str) -> list[Any]:
    return list(islice((each for each in feed.broken if each.rule == rule), _EXAMPLES))
