"""`mlops export` writes what a container needs to answer requests with a target's champion."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import click

from mlops.contract import ConfigError
from mlops.platform import scoring_server
from mlops.platform.scoring_server import CARD, MODEL, PORT, load_served
from mlops_cli import options
from mlops_cli.served_champion import open_champion

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


@click.command(epilog=options.EXITS)
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@options.target
@options.home
def export(folder: Path, target: str, home: Path | None) -> None:
    """Write a container's build context for the champion.

    FOLDER gets the model, its card, the wheel of this checkout, the locked requirements and a Dockerfile.

    Example: mlops export dist/container --target prod --home .laptop
    """
    from mlops_cli.locked_packages import export_requirements
    from mlops_cli.release_build import build_wheel

    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder} is not empty: name a folder that is not there yet")
    with open_champion(options.resolve_target(target, home)) as (files, card, _):
        load_served(files, card)
        shutil.copytree(files, folder / MODEL)
        card.write_card(folder / CARD)
    wheel = build_wheel(folder)
    (folder / ".gitignore").unlink(missing_ok=True)  # of uv, which means its folder dist
    (folder / "requirements.txt").write_text(export_requirements())
    shutil.copy(scoring_server.__file__, folder / "serve.py")
    (folder / "Dockerfile").write_text(_IMAGE)
    options.print_line(f"{card.name} with {wheel.name} is in {folder}; next: docker build {shlex.quote(str(folder))}")
