"""Errors that a user can mend; the package's docstring draws their tree."""

from __future__ import annotations


class MlopsError(Exception):
    """Base of every error that a user can mend."""


class ConfigError(MlopsError):
    """A parameter is missing, unknown or malformed."""


class DataError(MlopsError):
    """The data cannot serve."""


class BatchBlocked(DataError):
    """An expectation marked "block" failed: nothing of the batch was published."""


class ModelError(MlopsError):
    """A model, version or alias is missing."""


class UntrustedModel(ModelError):
    """A model's files differ from what was judged, or want more than they may."""


class ApprovalPending(MlopsError):
    """A person has to decide first."""


class Forbidden(MlopsError):
    """The registry refuses this identity."""


class Conflict(MlopsError):
    """Someone else moved the same thing first; nothing was changed."""
