"""`laptop serve` answers requests with a target's champion; `mlops export` writes what a container needs to do so."""

from __future__ import annotations

import json
import shlex
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlops.contract import ConfigError, ModelError, UseCase
from mlops.contract.model_version import Version, require_fact
from mlops_cli import audit_records, options, scoring_server
from mlops_cli.bundle_cli import DeployedBundle
from mlops_cli.scoring_server import CARD, MODEL, PORT, VersionCard, load_served, make_app, read_example, serve_app

if TYPE_CHECKING:
    from mlflow.pyfunc import PyFuncModel

_IMAGE = f"""\
FROM python:3.12-slim
# Libraries of compiled models, as LightGBM, need OpenMP, which the slim image lacks.
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY requirements.txt *.whl ./
RUN pip install --no-cache-dir --require-hashes -r requirements.txt && pip install --no-cache-dir --no-deps *.whl
COPY {CARD} serve.py ./
COPY {MODEL} {MODEL}
USER 10001
EXPOSE {PORT}
# /ping answers after the digest was checked and the version has answered its input example: health and readiness.
HEALTHCHECK --start-period=60s \\
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:{PORT}/ping', timeout=5)"]
CMD ["python", "serve.py"]
"""
_ADDRESS = "127.0.0.1"


def _default_home() -> Path | None:
    from laptop.includes import find_root

    root = find_root(Path.cwd())
    return root / ".laptop" if root else None


@click.command(epilog=options.EXITS)
@click.option(
    "--home",
    is_eager=True,  # read before --target, whose names it may hold
    type=click.Path(file_okay=False, path_type=Path, exists=True),
    default=_default_home,
    required=True,
    show_default=".laptop beside databricks.yml",
    help="Folder that holds all state.",
)
@options.target
@click.option("--port", default=5001, show_default=True, type=click.IntRange(1, 65535))
def serve(home: Path, target: str, port: int) -> None:
    """Answer requests with the champion as an endpoint would.

    Until Ctrl-C, and for this machine only. Its page at / shows requests and errors.

    Example: laptop serve -t prod
    """
    with _free_port(port), _open_champion(options.resolve_target(target, home)) as (folder, card, use_case):
        served, body = load_served(folder, card), read_example(folder)
        place = home.resolve() / "serving" / target
        place.mkdir(parents=True, exist_ok=True)
        (place / "request.json").write_text(json.dumps(body, indent=1) + "\n")
        url = f"http://{_ADDRESS}:{port}"
        curl = shlex.join(
            ["curl", "-s", f"{url}/invocations", "-H", "Content-Type: application/json", "-d", f"@{place}/request.json"]
        )
        page = render_requests(served, card, use_case, body, curl)
        (place / "requests.html").write_text(page)
    app = make_app(served)
    app.get("/", include_in_schema=False)(_page_of(page))
    options.print_line(f"{card.name} answers at {url}", f"page: {url}/ and {place}/requests.html")
    click.echo(f"try: {curl}")  # as it is, to be copied
    serve_app(app, _ADDRESS, port)


def main(arguments: Sequence[str]) -> int:
    """Run `laptop serve`, which laptop.yml sends here."""
    from mlops_cli.cli import run_args

    return run_args(arguments, serve, f"laptop {serve.name}")


@click.command(epilog=options.EXITS)
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@options.target
@options.home
def export(folder: Path, target: str, home: Path | None) -> None:
    """Write a container's build context for the champion.

    FOLDER gets the model, its card, the wheel of this checkout, the locked requirements and a Dockerfile.

    Example: mlops export dist/container --target prod --home .laptop
    """
    from mlops_cli import checkout

    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder} is not empty: name a folder that is not there yet")
    with _open_champion(options.resolve_target(target, home)) as (files, card, _):
        load_served(files, card)
        shutil.copytree(files, folder / MODEL)
        card.write_card(folder / CARD)
    wheel = checkout.build_wheel(folder)
    (folder / ".gitignore").unlink(missing_ok=True)  # of uv, which means its folder dist
    (folder / "requirements.txt").write_text(checkout.export_requirements())
    shutil.copy(scoring_server.__file__, folder / "serve.py")
    (folder / "Dockerfile").write_text(_IMAGE)
    options.print_line(f"{card.name} with {wheel.name} is in {folder}; next: docker build {shlex.quote(str(folder))}")


@contextmanager
def _open_champion(deployed: DeployedBundle) -> Iterator[tuple[Path, VersionCard, UseCase]]:
    """Download the champion of the audit table; yields its folder, its card and the use case.

    Raises:
        ModelError: there is no champion, or the alias shows another version.
    """
    from mlops.context import load_use_case
    from mlops.platform.registry import Registry
    from mlops.release.aliases import find_serving

    registry, rows = Registry(deployed.home), audit_records.read_rows(deployed)
    champion = find_serving(registry, deployed.model, rows, deployed.target)
    if champion is None:
        raise ModelError(f"{deployed.model} has no champion yet: train, or promote a version, and deploy it")
    use_case = load_use_case()
    with registry.fetch_files(champion) as folder:
        _drop_rewritten(folder)
        yield folder, _make_card(champion, use_case), use_case


def _make_card(version: Version, use_case: UseCase) -> VersionCard:
    digest = require_fact(version.facts.artifact_digest, version)
    return VersionCard(name=str(version), artifact_digest=digest, trusted_types=use_case.model.trusted_types)


def _drop_rewritten(folder: Path) -> None:
    """Delete what the registry adds to a download: it names the registry, and is not part of the digest."""
    from mlops.platform.model_scan import REWRITTEN

    for name in REWRITTEN:
        (folder / name).unlink(missing_ok=True)


@contextmanager
def _free_port(port: int) -> Iterator[None]:
    """Refuse a port that is taken before the model is loaded."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_ADDRESS, port))
        except OSError as error:
            raise ConfigError(f"port {port} cannot be used ({error.strerror}): name another one with --port") from None
        yield


def _page_of(page: str) -> Any:
    from fastapi.responses import HTMLResponse

    async def show_page() -> HTMLResponse:
        return HTMLResponse(page)

    return show_page


def render_requests(served: PyFuncModel, card: VersionCard, use_case: UseCase, body: dict[str, Any], curl: str) -> str:
    """Render the page of a version's requests; each response and error on it is one that the version has given.

    Args:
        served: as `load_served`.
        card: the version's card.
        use_case: whose features the inputs are.
        body: a request, as `read_example`.
        curl: the command that sends it.
    """
    from mlops.reports.pages import render_template

    features = {feature.name: feature for feature in use_case.features}
    schema: Any = served.metadata.get_input_schema()  # type: ignore[no-untyped-call]
    inputs = [(column.name, column.type.name, column.required, features.get(column.name)) for column in schema.inputs]
    answers = [(what, _shorten(request), *ask_served(served, request)) for what, request in _example_requests(body)]
    return render_template(
        "requests.html", name=card.name, digest=card.artifact_digest, question=use_case.question, curl=curl,
        inputs=inputs, answers=answers,
    )  # fmt: skip


def _example_requests(body: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    """Yield requests of each accepted form, then one of each common mistake, with what they show."""
    columns, row = body["dataframe_split"]["columns"], body["dataframe_split"]["data"][0]
    record = dict(zip(columns, row, strict=True))
    number = next((name for name in columns if isinstance(record[name], float | int)), columns[0])
    yield "columns once, then rows", json.dumps(body).encode()
    yield "one object per row", json.dumps({"dataframe_records": [record]}).encode()
    yield "one list per column", json.dumps({"inputs": {name: [value] for name, value in record.items()}}).encode()
    yield "one object per row, as TensorFlow Serving", json.dumps({"instances": [record]}).encode()
    without = {name: value for name, value in record.items() if name != number}
    yield f"{number} is missing", json.dumps({"dataframe_records": [without]}).encode()
    yield f"{number} is a text", json.dumps({"dataframe_records": [record | {number: "many"}]}).encode()
    yield "an unknown form", json.dumps({"rows": [record]}).encode()
    yield "no JSON", b"{"


def ask_served(served: PyFuncModel, request: bytes) -> tuple[int, str]:
    """Send a request to MLflow's server without a network; returns status and text of the response."""
    from mlflow.exceptions import MlflowException
    from mlflow.pyfunc.scoring_server import invocations

    untyped: Any = invocations
    try:
        response = untyped(request, "application/json", served, served.metadata.get_input_schema())  # type: ignore[no-untyped-call]
    except MlflowException as error:
        status: Any = error.get_http_status_code()  # type: ignore[no-untyped-call]
        return int(status), f"{error.error_code}: {_shorten(error.message)}"
    return response.status, _shorten(response.response)


def _shorten(text: str | bytes, most: int = 500) -> str:
    """Shorten a long text in its middle: an error of MLflow names the field at its end."""
    shown = text.decode() if isinstance(text, bytes) else text
    half = most // 2
    return shown if len(shown) <= most else f"{shown[:half]} … {shown[-half:]}"
