"""Calls a workspace. A refusal (403) becomes Unreadable, an absence (404) None: they have different cures."""

from __future__ import annotations

from collections.abc import Callable

from mlops.contract import MlopsError
from mlops.platform import sdk
from mlops_cli.workspace.state import Unreadable


def try_call[T](doing: str, call: Callable[[], T]) -> T | Unreadable | None:
    """Return the result of a call; None if the object does not exist, Unreadable if the call is refused."""
    from databricks.sdk.errors import BadRequest, NotFound, PermissionDenied

    try:
        with sdk.translate_errors(doing):
            try:
                return call()
            except NotFound:
                return None
            except (PermissionDenied, BadRequest) as error:
                return Unreadable(sdk.error_message(error))
    except MlopsError as error:
        return Unreadable(str(error))
