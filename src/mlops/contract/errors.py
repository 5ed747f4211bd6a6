"""Errors that a user can mend; the package's docstring draws their tree."""

from __future__ import annotations


class MlopsError(Exception):
    """Base of every error that a user can mend."""


class ConfigError(MlopsError):
    """A parameter is missing, unknown or malformed."""


class DataError(MlopsError):
    """The data are missing or cannot be used."""


class BatchBlocked(DataError):
    """An expectation marked "block" failed: nothing of the batch was published."""


class ModelError(MlopsError):
    """A model, version or alias is missing."""


class UntrustedModel(ModelError):
    """A model's files differ from those that were judged, or contain what is not allowed."""


class ApprovalPending(MlopsError):
    """A person has to decide first."""


class Forbidden(MlopsError):
    """The registry refuses this identity."""


class Conflict(MlopsError):
    """Another run changed the same thing first; nothing was changed."""
