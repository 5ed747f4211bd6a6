"""Check names and tags against Unity Catalog's limits, and translate permission errors of the registry."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit
from urllib.request import url2pathname

from mlops.contract import Forbidden, ModelError
from mlops.platform.home_store import explain_store_errors

if TYPE_CHECKING:
    from mlflow import MlflowClient

_NAME = re.compile(r"[A-Za-z0-9_]{1,255}(\.[A-Za-z0-9_]{1,255}){2}")
_ABSENT = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND"}
"""Error codes of the registries for something that does not exist."""
_TAG_KEY = re.compile(r"[^.,\-=/:]{1,255}")
_TAG_VALUE = 1000
"""Largest number of characters of a tag's value in Unity Catalog; a laptop's registry has no such limit."""


def check_tags(tags: Mapping[str, str | None]) -> None:
    """Raise ModelError unless Unity Catalog accepts every tag."""
    for key, value in tags.items():
        if not _TAG_KEY.fullmatch(key) or key != key.strip():
            raise ModelError(f"tag {key[:80]!r}: a key has 1 to 255 characters, none of . , - = / : and no outer blank")
        if value is not None and (len(value) > _TAG_VALUE or value != value.strip()):
            raise ModelError(
                f"tag {key!r} has {len(value)} characters: at most {_TAG_VALUE}, and no blank at an end, so shorten it"
            )


def check_name(model: str) -> None:
    """Raise ModelError unless the name is catalog.schema.model."""
    if not _NAME.fullmatch(model):
        raise ModelError(
            f"{model!r} is no model name: it is catalog.schema.model, letters, digits and underscores only"
        )


def local_path(uri: str) -> Path:
    """Convert a file URI or a plain path to a path."""
    return Path(url2pathname(urlsplit(uri).path) if uri.startswith("file:") else uri)


class _TranslatingClient:
    """MLflow's client; its permission errors are translated."""

    def __init__(self, client: MlflowClient, file: Path | None) -> None:
        self._client, self._file = client, file

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def call(*given: Any, **named: Any) -> Any:
            doing = f"{name.replace('_', ' ')} {' '.join(str(word) for word in given[:2])}"
            with explain_store_errors(self._file), permission_errors(doing):
                return method(*given, **named)

        return call


def translate_permission_errors(client: MlflowClient, file: Path | None) -> MlflowClient:
    """Wrap MLflow's client: 401 and 403 become Forbidden, errors of a laptop's file become DataError."""
    return cast("MlflowClient", _TranslatingClient(client, file))


@contextmanager
def permission_errors(doing: str) -> Iterator[None]:
    """Translate a 401 and a 403 of MLflow into one sentence.

    Raises:
        Forbidden: in place of the error; `doing` completes "you may not ...".
    """
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code not in {"PERMISSION_DENIED", "UNAUTHENTICATED"}:
            raise
        raise Forbidden(
            f"you may not {doing}: the registry refuses it ({error.error_code}), and nothing of it was done; "
            "docs/reference/rights.md tells who may"
        ) from None


def unless_absent[T](ask: Callable[[], T]) -> T | None:
    """Call the registry; returns None if it answers that the thing does not exist."""
    from mlflow.exceptions import MlflowException

    try:
        return ask()
    except MlflowException as error:
        if error.error_code not in _ABSENT:
            raise
        return None
