"""`mlops export` writes a target's champion as a folder that describes, checks and serves itself."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import click

from mlops.contract import ConfigError
from mlops.platform import scoring_server
from mlops.platform.scoring_server import CARD, MODEL, PORT, VersionCard, example_rows, load_served, read_example
from mlops_cli import options
from mlops_cli.azure_endpoint import render_azure_files
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

EXAMPLE = "example.json"
_README = f"""\
# {{name}}

| file | what it is |
|---|---|
| `{MODEL}/` | the model as MLflow wrote it, flavour sklearn in the format skops |
| `{CARD}` | its name, the sha256 digest of `{MODEL}/`, and the types that it may contain |
| `{EXAMPLE}` | a request and what this version answered when it was exported |
| `requirements.txt`, `*.whl` | every package with its version and hash, and the code that checks and serves |
| `serve.py`, `Dockerfile` | check the digest, inspect the files, then answer on port {PORT} |
| `azureml/` | a managed online endpoint: `az ml online-endpoint create -f azureml/endpoint.yml`, then \
`az ml online-deployment create -f azureml/deployment.yml --all-traffic` |

Azure ML runs it as a container. Its images for MLflow models and its tracking server know MLflow 2, this model is of
MLflow 3: deploying `{MODEL}/` without code, registering it there or tracking there does not work.

{{card}}
"""


@click.command(epilog=options.EXITS)
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@options.target
@options.home
def export(folder: Path, target: str, home: Path | None) -> None:
    """Write the champion as a folder that serves itself.

    FOLDER gets the model as MLflow's folder, its digest and card, an example with its answer, the wheel of this
    checkout, the locked requirements, a Dockerfile and an endpoint's definition for Azure ML.

    Example: mlops export dist/container --target prod --home .laptop
    """
    from mlops_cli.locked_packages import export_requirements
    from mlops_cli.release_build import build_wheel

    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder} is not empty: name a folder that is not there yet")
    with open_champion(options.resolve_target(target, home)) as (files, card, _):
        _write_model(folder, files, card)
    wheel = build_wheel(folder)
    (folder / ".gitignore").unlink(missing_ok=True)  # uv writes one that ignores the whole folder
    (folder / "requirements.txt").write_text(export_requirements())
    shutil.copy(scoring_server.__file__, folder / "serve.py")
    (folder / "Dockerfile").write_text(_IMAGE)
    options.print_line(f"{card.name} with {wheel.name} is in {folder}; next: docker build {shlex.quote(str(folder))}")


def _write_model(folder: Path, files: Path, card: VersionCard) -> None:
    """Write the files of the version, its digest and card, an example with its answer, and Azure ML's definitions."""
    import numpy as np

    served, request = load_served(files, card), read_example(files)
    shutil.copytree(files, folder / MODEL)
    card.write_card(folder / CARD)
    answer = {"request": request, "predictions": np.asarray(served.predict(example_rows(request))).tolist()}
    (folder / EXAMPLE).write_text(json.dumps(answer, indent=1) + "\n")
    (folder / "README.md").write_text(_README.format(name=card.name, card=card.description))
    (folder / "azureml").mkdir()
    for name, text in render_azure_files(card).items():
        (folder / "azureml" / name).write_text(text)
