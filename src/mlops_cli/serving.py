"""`laptop serve` answers requests with a target's champion on this machine."""

from __future__ import annotations

import json
import shlex
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click

from mlops.contract import ConfigError
from mlops.platform.scoring_server import load_served, make_app, read_example, serve_app
from mlops_cli import options
from mlops_cli.key_requests import fill_features, find_features
from mlops_cli.request_page import render_requests
from mlops_cli.served_champion import open_champion

_ADDRESS = "127.0.0.1"


def _default_home() -> Path | None:
    from laptop.includes import find_root

    root = find_root(Path.cwd())
    return root / ".laptop" if root else None


@click.command(epilog=options.EXITS)
@click.option(
    "--home",
    is_eager=True,  # click reads it before --target, since a home may have further targets
    type=options.HOME_FOLDER,
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
    deployed = options.resolve_target(target, home)
    with _free_port(port), open_champion(deployed) as (folder, card, use_case):
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
    app = make_app(served, partial(fill_features, use_case=use_case, find=partial(find_features, deployed, use_case)))
    app.get("/", include_in_schema=False)(_page_of(page))
    options.print_line(f"{card.name} answers at {url}", f"page: {url}/ and {place}/requests.html")
    click.echo(f"try: {curl}")  # unescaped, so that it can be copied
    serve_app(app, _ADDRESS, port)


def main(arguments: Sequence[str]) -> int:
    """Run `laptop serve`, which laptop.yml sends here."""
    from mlops_cli.cli import run_args

    return run_args(arguments, serve, f"laptop {serve.name}")


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
