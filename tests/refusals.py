"""Answers of the platform's REST API that are not 200, as a double of a workspace gives them."""

from __future__ import annotations


class Refused(Exception):
    """An answer of the platform that is not 200."""

    def __init__(self, status: int, code: str, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status, self.body = status, {"error_code": code, "message": message}
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def missing(what: str) -> Refused:
    return Refused(404, "RESOURCE_DOES_NOT_EXIST", f"{what} does not exist.")


def denied(what: str) -> Refused:
    return Refused(403, "PERMISSION_DENIED", f"User does not have {what}.")


def busy(seconds: int) -> Refused:
    return Refused(429, "REQUEST_LIMIT_EXCEEDED", "Too many requests", Retry_After=str(seconds))


def away(seconds: int) -> Refused:
    return Refused(503, "TEMPORARILY_UNAVAILABLE", "The service is temporarily unavailable", Retry_After=str(seconds))
