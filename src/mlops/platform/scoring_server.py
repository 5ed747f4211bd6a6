"""Serve a model's folder over HTTP as a Databricks endpoint would; a container runs this file as its start script.

It imports only modules of `mlops` that need no Spark, since `mlops export` copies it beside a model. On a laptop the
task `endpoint` starts such servers, too.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mlops.contract import MlopsError, Model, ModelError
from mlops.contract.model_version import Version, require_fact
from mlops.platform import model_scan

if TYPE_CHECKING:
    import pandas as pd
    from fastapi import FastAPI
    from mlflow.pyfunc import PyFuncModel
    from starlette.requests import Request

    from mlops.platform.scoring_requests import Fill

MODEL, CARD = "model", "version.json"
"""Names of the model's folder and of its card, which lie beside this file in a container."""
PORT = 8080
_PATH = "/invocations"


@dataclass(frozen=True, kw_only=True)
class VersionCard:
    """Facts that are needed to check and load a version's files without a registry."""

    name: str
    """catalog.schema.model version N"""
    artifact_digest: str
    trusted_types: tuple[str, ...]
    """Types of the use case that the files may contain (`mlops.contract.Model.trusted_types`)."""
    description: str = ""
    """The model card and the newest verdict, in Markdown."""

    @classmethod
    def read_card(cls, file: Path) -> Self:
        """Read a card that `write_card` wrote."""
        known = json.loads(file.read_text())
        return cls(**known | {"trusted_types": tuple(known["trusted_types"])})

    def write_card(self, file: Path) -> None:
        """Write the card as JSON."""
        file.write_text(json.dumps(asdict(self), indent=1) + "\n")


def make_card(version: Version, model: Model) -> VersionCard:
    """Make the card of a version from its recorded facts and the use case's model.

    Raises:
        ModelError: no digest of the version's files was recorded.
    """
    digest = require_fact(version.facts.artifact_digest, version)
    return VersionCard(
        name=str(version),
        artifact_digest=digest,
        trusted_types=model.trusted_types,
        description=version.description,
    )


def load_served(folder: Path, card: VersionCard) -> PyFuncModel:
    """Load a model's folder after checking its digest and content, in the form that MLflow's scoring server calls.

    (Rejected: `mlflow models serve` and `mlflow.pyfunc.load_model`, which trust the folder's own metadata.)

    Raises:
        UntrustedModel: the digest differs, or the files contain what is not allowed.
        ModelError: the version cannot answer its own input example.
    """
    from mlflow.models import Model as Description
    from mlflow.pyfunc import PyFuncModel

    allowed = Model(build=lambda _: None, trusted_types=card.trusted_types)
    opened = model_scan.open_model(folder, allowed, card.name, card.artifact_digest)
    pipeline = _Answers(getattr(opened.pipeline, opened.method))
    served = PyFuncModel(model_meta=Description.load(str(folder)), model_impl=pipeline, predict_fn="answer")
    try:
        served.predict(example_rows(read_example(folder)))
    except Exception as error:  # noqa: BLE001 (a version that raises anything must not be ready)
        raise ModelError(f"{card.name} does not answer its own input example: {error}; train it again") from None
    return served


@dataclass(frozen=True)
class _Answers:
    """Wraps a method of the inspected pipeline in the signature that MLflow's server calls."""

    predict: Callable[[pd.DataFrame], Any]

    def answer(self, data: pd.DataFrame) -> Any:
        return self.predict(data)

    def get_raw_model(self) -> Callable[[pd.DataFrame], Any]:
        """Return the method; MLflow asks for it under this name."""
        return self.predict


def read_example(folder: Path) -> dict[str, Any]:
    """Read the first row of the input example as the body of a request; MLflow's NaN becomes null for JSON."""
    text = (folder / "serving_input_example.json").read_text()
    split = json.loads(text, parse_constant=lambda _: None)["dataframe_split"]
    return {"dataframe_split": {"columns": split["columns"], "data": split["data"][:1]}}


def example_rows(request: Mapping[str, Any]) -> pd.DataFrame:
    """Convert the body of `read_example` to rows."""
    import pandas as pd

    rows = request["dataframe_split"]
    return pd.DataFrame(rows["data"], columns=rows["columns"])


def make_app(served: PyFuncModel, fill: Fill | None = None) -> FastAPI:
    """Make MLflow's own scoring server, which Databricks runs, too: requests, responses and errors are the same.

    Args:
        served: as `load_served`.
        fill: fills in the decoded body of a request before it is answered.
    """
    import asyncio

    from mlflow.environment_variables import MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT
    from mlflow.pyfunc.scoring_server import init
    from starlette.responses import Response
    from starlette.routing import Route

    app: FastAPI = init(served)
    # MLflow's own limit of time is a middleware around all routes, which costs a request 0.5 ms; others stay.
    app.user_middleware = [one for one in app.user_middleware if not _limits_time(one.kwargs.get("dispatch"))]
    limit: Any = MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT
    answer, timeout = answer_requests(served, fill), limit.get()

    async def invoke(request: Request) -> Response:
        body, kind = await request.body(), request.headers.get("content-type")
        try:
            response = await asyncio.wait_for(asyncio.to_thread(answer, body, kind), timeout)
        except TimeoutError:
            return Response("Request processing time exceeded limit", 504, media_type="application/json")
        return Response(response.response, response.status, media_type=response.mimetype)

    routes = app.router.routes
    place = next(place for place, route in enumerate(routes) if getattr(route, "path", "") == _PATH)
    routes[place] = Route(_PATH, invoke, methods=["POST"])
    return app


def _limits_time(middleware: Any) -> bool:
    return getattr(middleware, "__name__", "") == "timeout_middleware"


def answer_requests(served: PyFuncModel, fill: Fill | None = None) -> Callable[[bytes, str | None], Any]:
    """Return what answers body and content type of a request to a version that `load_served` has loaded."""
    from mlops.platform.scoring_requests import make_responder

    untyped: Any = served
    return make_responder(served, untyped.get_raw_model(), fill)


def serve_app(app: FastAPI, host: str, port: int) -> None:
    """Answer requests until SIGTERM or Ctrl-C; the open ones are answered first."""
    import uvicorn

    uvicorn.run(app, host=host, port=port, log_level="warning")


def main() -> int:
    """Serve the model beside this file on all addresses of the container."""
    here = Path(__file__).resolve().parent
    try:
        card = VersionCard.read_card(here / CARD)
        app = make_app(load_served(here / MODEL, card))
    except MlopsError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 (a container's log)
        return 1
    print(f"{card.name} with digest {card.artifact_digest[:12]} is ready", flush=True)  # noqa: T201
    serve_app(app, "0.0.0.0", int(os.environ.get("PORT", PORT)))  # noqa: S104 (a container's own network)
    return 0


if __name__ == "__main__":
    sys.exit(main())
