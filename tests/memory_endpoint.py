"""An endpoint in memory, with faults by version: as `mlops.platform.endpoints.Endpoint`, without a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from mlops.contract import MlopsError
from mlops.platform.endpoints import Answer


@dataclass
class MemoryPlatform:
    """What outlives a run: the traffic of the one endpoint, and how versions behave."""

    predict: Callable[[int, Mapping[str, Any]], Any]
    """What a version answers to a request; it may raise MlopsError."""
    traffic: dict[int, int] = field(default_factory=dict)
    broken: set[int] = field(default_factory=set)
    """Versions that do not start."""
    refusal: str = ""
    """Why no change is taken; empty: changes are taken."""
    outage: str = ""
    """Why no call at all is taken."""
    seconds: dict[int, float] = field(default_factory=dict)
    """How long a version takes for one request."""
    asked: int = 0

    @contextmanager
    def open(self, job):
        yield MemoryEndpoint(self)


class MemoryEndpoint:
    def __init__(self, platform: MemoryPlatform) -> None:
        self.platform, self.before = platform, dict(platform.traffic)

    def read_traffic(self) -> Mapping[int, int]:
        self._log_in()
        return dict(self.platform.traffic)

    def set_traffic(self, traffic: Mapping[int, int]) -> None:
        self._log_in()
        if dict(traffic) == self.platform.traffic:
            return
        if self.platform.refusal:
            raise MlopsError(self.platform.refusal)
        if failed := self.platform.broken & traffic.keys():
            raise MlopsError(f"the change ended as UPDATE_FAILED: {failed}")
        self.platform.traffic = dict(traffic)

    def _log_in(self) -> None:
        if self.platform.outage:
            raise MlopsError(self.platform.outage)

    def restore(self) -> None:
        if self.before:
            self.set_traffic(self.before)
        else:
            self.platform.traffic = {}

    def ask(self, request: Mapping[str, Any], version: int | None = None) -> Answer:
        self._log_in()
        if version is not None and version not in self.platform.traffic:
            raise MlopsError(f"the endpoint does not serve version {version}")
        if version is not None:
            return Answer(self.platform.predict(version, request), self.platform.seconds.get(version, 0.01), version)
        place, self.platform.asked = self.platform.asked * 37 % 100, self.platform.asked + 1
        for number, share in self.platform.traffic.items():
            place -= share
            if place < 0:
                return Answer(self.platform.predict(number, request), self.platform.seconds.get(number, 0.01), number)
        raise MlopsError("there is no such endpoint")
