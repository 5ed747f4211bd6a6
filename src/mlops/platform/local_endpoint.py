"""A laptop's endpoint: one scoring server per version, running while the endpoint is open.

A file of the home keeps the endpoint's traffic between processes, as the platform keeps it between runs.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mlops.contract import MlopsError
from mlops.platform import storage
from mlops.platform.endpoints import Answer

if TYPE_CHECKING:
    from fastapi import FastAPI

_PATIENCE = 30.0
"""Seconds for the start of a server and for one response."""
_STRIDE = 37
"""Shares no divisor with 100, so that a version's requests are spread among those of the other one."""


class LocalEndpoint:
    """An endpoint of a home; closing it stops its servers.

    Args:
        file: JSON file that keeps each version's share of the requests.
        make_app: loads and checks a version, and makes the application that answers for it.
    """

    def __init__(self, file: Path, make_app: Callable[[int], FastAPI]) -> None:
        self._file, self._make_app = file, make_app
        self._servers: dict[int, _ScoringThread] = {}
        self._requests = 0
        self._before = self.read_traffic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers.values():
            server.stop()

    def read_traffic(self) -> Mapping[int, int]:
        """Return the per cent of the requests that each version gets; empty: there is no endpoint."""
        if not self._file.exists():
            return {}
        return {int(version): share for version, share in json.loads(self._file.read_text())["traffic"].items()}

    def set_traffic(self, traffic: Mapping[int, int]) -> None:
        """Serve versions with these per cent, see `Endpoint.set_traffic`."""
        for version in traffic:
            self._start_server(version)
        shares = {str(version): share for version, share in traffic.items()}
        storage.write_text(str(self._file), json.dumps({"traffic": shares}))

    def restore(self) -> None:
        """Put back what was served when the endpoint was opened, see `Endpoint.restore`."""
        if self._before:
            self.set_traffic(self._before)
        else:
            self._file.unlink(missing_ok=True)

    def ask(self, request: Mapping[str, Any], version: int | None = None) -> Answer:
        """Send one request, see `Endpoint.ask`; the share of each version holds for every hundred requests."""
        version = self._next_version() if version is None else version
        self._start_server(version)
        body = json.dumps(dict(request)).encode()
        url, headers = self._servers[version].url, {"Content-Type": "application/json"}
        start = time.perf_counter()
        try:
            sent = urllib.request.Request(f"{url}/invocations", body, headers)  # noqa: S310 (a server of this process)
            with urllib.request.urlopen(sent, timeout=_PATIENCE) as response:  # noqa: S310 (as above)
                text = response.read()
        except urllib.error.HTTPError as error:
            raise MlopsError(f"version {version} answered with status {error.code}: {error.read().decode()}") from None
        except OSError as error:
            raise MlopsError(f"version {version} did not answer: {error}") from None
        return Answer(json.loads(text).get("predictions"), time.perf_counter() - start, version)

    def _next_version(self) -> int:
        """Choose a version by the number of the request, so that the shares are exact and tests can repeat them."""
        traffic = self.read_traffic()
        if not traffic:
            raise MlopsError(f"there is no endpoint {self._file.stem}: deploy a version first")
        place, limit = self._requests * _STRIDE % 100, 0
        self._requests += 1
        for version, share in traffic.items():
            limit += share
            if place < limit:
                return version
        return next(reversed(traffic))

    def _start_server(self, version: int) -> None:
        if version not in self._servers:
            self._servers[version] = _ScoringThread(self._make_app(version), version)


class _ScoringThread:
    """A scoring server in a thread, on a free port of this machine."""

    def __init__(self, app: FastAPI, version: int) -> None:
        import uvicorn

        self._server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
        self._thread = threading.Thread(target=self._server.run, name=f"version {version}", daemon=True)
        self._thread.start()
        deadline = time.monotonic() + _PATIENCE
        while not self._server.started:
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise MlopsError(f"the scoring server of version {version} did not start: see the log")
            time.sleep(0.01)
        self.url = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"

    def stop(self) -> None:
        """Answer the open requests and stop."""
        self._server.should_exit = True
        self._thread.join(_PATIENCE)
