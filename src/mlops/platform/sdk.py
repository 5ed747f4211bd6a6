"""Log in to the workspace through databricks-sdk, and translate its errors into sentences without secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mlops.contract import ConfigError, MlopsError

if TYPE_CHECKING:
    from databricks.sdk import AccountClient, WorkspaceClient
    from databricks.sdk.config import Config

_PATIENCE = 120
"""Seconds for which a call is retried while the platform answers 429 or 503; the SDK honours Retry-After."""
_SECRET = re.compile(
    r"(?:dapi|dose|dkea|dsapi|ghp_|ghs_|github_pat_)[A-Za-z0-9_-]{8,}"  # tokens and secrets of Databricks and GitHub
    r"|eyJ[\w-]+\.[\w-]+(?:\.[\w-]*)?"  # a signed token
    r"|[\w.~-]{3}8Q~[\w.~-]{30,}"  # a client secret of Entra
    r"|(?<=bearer )\S+"
    r"|(?<=basic )[A-Za-z0-9+/=]{8,}"
    r"|(?<=secret=)[^&\s\"']+"
    r"|(?<=token=)[^&\s\"']+",
    re.IGNORECASE,
)


def workspace_client() -> WorkspaceClient:
    """Make a client for the workspace that the Databricks CLI, the pipeline or the job is logged in to.

    Raises:
        ConfigError: no way to log in is configured.
    """
    from databricks.sdk import WorkspaceClient

    return WorkspaceClient(config=_make_config())


def account_client(account_id: str) -> AccountClient:
    """Make a client for the account with the same login; it works only if that login is valid for the account.

    Raises:
        ConfigError: no way to log in is configured.
    """
    from databricks.sdk import AccountClient

    config = _make_config()
    config.account_id = account_id
    return AccountClient(config=config)


def _make_config() -> Config:
    from databricks.sdk.config import Config

    try:
        return Config(retry_timeout_seconds=_PATIENCE)
    except ValueError as error:
        reason = error_message(error).partition(", please check")[0]
        raise ConfigError(
            f"not logged in to a workspace ({reason}); run: databricks auth login --host https://WORKSPACE"
        ) from None


def redact_secrets(text: str) -> str:
    """Replace everything in a text that looks like a token, a secret or a credential."""
    return _SECRET.sub("[redacted]", text)


def error_message(error: Exception) -> str:
    """Return the platform's message without secrets and without the SDK's list of its configuration."""
    return redact_secrets(str(error)).partition(". Config: ")[0]


@contextmanager
def translate_errors(doing: str) -> Iterator[None]:
    """Translate an error of the platform into one sentence: what was done, what the platform answered, and the cure.

    Raises:
        MlopsError: in place of any error of the SDK or of the network.
    """
    from databricks.sdk.errors import DatabricksError, OperationFailed
    from requests import RequestException

    try:
        yield
    except DatabricksError as error:
        raise MlopsError(f"{doing}: {error_message(error)}; {_suggest_fix(error)}") from None
    except OperationFailed as error:
        raise MlopsError(f"{doing}: {error_message(error)}") from None
    except (TimeoutError, RequestException) as error:
        raise MlopsError(f"{doing}: {error_message(error)}; the workspace did not answer, try again later") from None


def _suggest_fix(error: Exception) -> str:
    from databricks.sdk import errors

    cures: tuple[tuple[type[Exception], str], ...] = (
        (errors.Unauthenticated, "log in again: databricks auth login"),
        (errors.PermissionDenied, "you lack the right: see docs/reference/rights.md, and `mlops doctor`"),
        (errors.NotFound, "it is not there, or you may not see it: `mlops doctor` tells which"),
        (errors.ResourceConflict, "somebody else is changing it: wait and try again"),
        (errors.TooManyRequests, "the workspace is busy: try again later"),
        (errors.InternalError, "the platform failed: try again later"),
        (errors.TemporarilyUnavailable, "the platform is away for a moment: try again later"),
    )
    return next((cure for kind, cure in cures if isinstance(error, kind)), "see the message of the platform")
