"""Changes that last as long as the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module")
def patch() -> Iterator[pytest.MonkeyPatch]:
    """Changes that last as long as a module's tests."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield monkeypatch
