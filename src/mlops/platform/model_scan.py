"""Scan a model's folder before anything in it is loaded, since MLflow trusts the folder's own metadata.

Only what `Registry.register_model` writes is allowed. MLflow would run the module that an MLmodel names as its loader,
put its `code` folder on the path, unpickle, and trust the types that the file asks to trust; an environment made for it
would install its requirements. So all of these are compared with what the use case allows.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import stat
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from mlops.contract import Model, ModelError, UntrustedModel

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

MODEL_FILE = "model.skops"
REWRITTEN = {"registered_model_meta"}
"""Files that the registry writes into every download; they are not part of the digest."""
PACKAGES = ("mlflow", "numpy", "pandas", "scikit-learn", "skops")
"""Packages that every model needs; `Model.packages` are those of the trusted types."""

HARMLESS = ("numpy.dtype",)
"""Types that skops reports although they run no code; they are trusted for every use case."""
_TEXT, _ARCHIVE = 2**20, 2**29
_FILES = {
    **dict.fromkeys(["MLmodel", "conda.yaml", "python_env.yaml", "requirements.txt", "input_example.json"], _TEXT),
    **dict.fromkeys(["serving_input_example.json", *REWRITTEN], _TEXT),
    MODEL_FILE: _ARCHIVE,
}
"""Each allowed file, and its largest size in bytes."""
_ENTRIES, _RATIO = 100_000, 100
_MEMBER = re.compile(r"schema\.json|[0-9]+\.np[yz]|[0-9a-f-]{36}\.bin")
_PART = re.compile(r"[a-z_]+\.npy")
_ANY = object()
_METHODS = ("predict", "predict_proba")
"""Methods that run only the pipeline's code. The gate checks that a version uses the one of its kind of question."""
_FLAVORS: Mapping[str, Mapping[str, Any]] = {
    "python_function": {
        "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
        "loader_module": "mlflow.sklearn",
        "model_path": MODEL_FILE,
        "predict_fn": _METHODS,
        "python_version": _ANY,
    },
    "sklearn": {
        "code": None,
        "pickled_model": MODEL_FILE,
        "serialization_format": "skops",
        "sklearn_version": _ANY,
        "skops_trusted_types": _ANY,
    },
}
_KEYS = {
    "artifact_path", "flavors", "is_signature_from_type_hint", "mlflow_version", "model_id", "model_size_bytes",
    "model_uuid", "prompts", "run_id", "saved_input_example_info", "signature", "type_hint_from_example",
    "utc_time_created",
}  # fmt: skip
_CONDA = {"channels", "dependencies", "name"}
_PIN = re.compile(r"([A-Za-z0-9._-]+)==[A-Za-z0-9.!+]+")
_BUILT_WITH = re.compile(r"(pip|setuptools|wheel|python)([<>=]{1,2}[0-9.]+)?")


@dataclass(frozen=True, eq=False)
class OpenedModel:
    """A version's pipeline, and the inputs and size of its files."""

    pipeline: Pipeline
    inputs: Mapping[str, str]
    """Name and type of each input of the signature, in their order."""
    method: str
    """Method of the pipeline that a served version calls: predict or predict_proba."""
    size: int
    """Bytes of all files."""


def open_model(folder: Path, model: Model, name: str, digest: str) -> OpenedModel:
    """Load a model's folder after checking the digest and the content of its files.

    Args:
        folder: the downloaded model.
        model: as for `scan_folder`.
        name: name of the version for messages.
        digest: the recorded `artifact_digest`.

    Raises:
        UntrustedModel: the digest differs, or the files contain what is not allowed; names all of it.
    """
    import skops.io

    problems = scan_folder(folder, model)
    # The scan comes first: computing a digest would follow links and read files of any size.
    if not problems and (actual := artifact_digest(folder)) != digest:
        problems = [f"its files have digest {actual[:12]}, not the recorded {digest[:12]}: they were changed"]
    if problems:
        raise UntrustedModel(f"{name} is not loaded: {'; '.join(problems)}; train or promote it again")
    pipeline = skops.io.load(folder / MODEL_FILE, trusted=[*HARMLESS, *model.trusted_types])
    if broken := _structure(pipeline):
        raise UntrustedModel(f"{name} is not loaded: {'; '.join(broken)}; train it again")
    described = _load_yaml(folder / "MLmodel")
    method = str(described["flavors"]["python_function"]["predict_fn"])
    size = sum(file.stat().st_size for file in folder.iterdir())
    return OpenedModel(pipeline, _signature_of(described), method, size)


def scan_folder(folder: Path, model: Model) -> list[str]:
    """List what a model's folder contains that the use case does not allow, one sentence each; empty: load it.

    Nothing of the model is run, imported or unpickled, and no file is read before its size is known to be small.

    Args:
        folder: the downloaded model.
        model: its `trusted_types` and `packages` are allowed; what the files claim themselves does not count.
    """
    problems = [text for path in sorted(folder.iterdir()) for text in _scan_file(path)]
    problems += [f"there is no {name}" for name in ("MLmodel", MODEL_FILE) if not (folder / name).is_file()]
    if problems:
        return problems
    for scan in (_scan_mlmodel, _scan_environment, _scan_archive):
        try:
            problems += scan(folder, model)
        except Exception as error:  # noqa: BLE001 (a file made to break its reader is refused like any other)
            problems.append(f"its files cannot be read: {type(error).__name__}: {str(error)[:200]}")
    return problems or _scan_types(folder, model)


def find_missing_types(pipeline: Pipeline, model: Model) -> list[str]:
    """List the types of a fitted pipeline that the use case does not trust, sorted: its file would be refused."""
    import skops.io

    return sorted(set(skops.io.get_untrusted_types(data=skops.io.dumps(pipeline))) - {*HARMLESS, *model.trusted_types})


def check_stored(folder: Path, name: str) -> None:
    """Check a version's files in a laptop's home, before anything follows a link or waits for a pipe.

    Raises:
        ModelError: there are no files.
        UntrustedModel: some are links, pipes, devices or sockets; names them.
    """
    if folder.is_symlink() or not folder.exists():
        raise ModelError(f"the files of {name} are gone: there is no folder {folder}; train or promote it again")
    odd = [path for path in sorted(folder.rglob("*")) if not path.is_dir() or path.is_symlink()]
    odd = [path for path in odd if not stat.S_ISREG(path.lstat().st_mode)]
    if odd:
        named = ", ".join(str(path.relative_to(folder)) for path in odd)
        raise UntrustedModel(f"{name} is not loaded: {named} is a link or no file; train or promote it again")


def _structure(pipeline: object) -> list[str]:
    from mlops.platform.model_structure import find_broken_indices

    try:
        return find_broken_indices(pipeline)
    except Exception as error:  # noqa: BLE001 (an object made to break its reader is refused like any other)
        return [f"its fitted state cannot be read: {type(error).__name__}: {str(error)[:200]}"]


def artifact_digest(folder: Path) -> str:
    """Compute the sha256 over path and sha256 of every file of a model, except files that the registry rewrites."""
    total = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = file.relative_to(folder).as_posix()
        if name not in REWRITTEN:
            total.update(f"{name}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def _signature_of(described: Mapping[str, Any]) -> Mapping[str, str]:
    """Read names and types of the inputs that the MLmodel of a scanned model declares, in their order."""
    inputs = json.loads(described["signature"]["inputs"])
    return {column["name"]: column["type"] for column in inputs}


def _scan_file(path: Path) -> Iterator[str]:
    state = path.lstat()
    if path.name not in _FILES:
        yield f"{path.name!r} has no place in a model"
    elif not stat.S_ISREG(state.st_mode) or state.st_nlink != 1:
        yield f"{path.name} is a link or no file"
    elif state.st_size > _FILES[path.name]:
        yield f"{path.name} has {state.st_size} bytes, more than {_FILES[path.name]}"


def _load_yaml(path: Path) -> dict[str, Any]:
    """Load a YAML mapping of plain values; tags and anchors, which make small files large, are refused."""
    import yaml

    text = path.read_text()
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        if isinstance(token, yaml.AnchorToken | yaml.AliasToken | yaml.TagToken):
            raise TypeError(f"{path.name} has an anchor or a tag in line {token.start_mark.line + 1}")
    document = yaml.safe_load(text)
    if not isinstance(document, dict):
        raise TypeError(f"{path.name} is no mapping")
    return document


def _scan_mlmodel(folder: Path, model: Model) -> Iterator[str]:
    document = _load_yaml(folder / "MLmodel")
    yield from (f"MLmodel has the key {key!r}" for key in document if key not in _KEYS)
    flavors = document.get("flavors", {})
    yield from (f"MLmodel has the flavor {name!r}" for name in flavors if name not in _FLAVORS)
    for flavor, allowed in _FLAVORS.items():
        given = flavors.get(flavor, {})
        for key in sorted({*allowed, *given}):
            if key not in given or key not in allowed:
                yield f"{flavor} of MLmodel {'has' if key in given else 'lacks'} {key}"
            elif allowed[key] is _METHODS:
                if given[key] not in _METHODS:
                    yield f"{key} of MLmodel is {given[key]!r}, not {' or '.join(map(repr, _METHODS))}"
            elif allowed[key] is not _ANY and given[key] != allowed[key]:
                yield f"{key} of MLmodel is {given[key]!r}, not {allowed[key]!r}"
    asked = set(flavors.get("sklearn", {}).get("skops_trusted_types") or ()) - {*HARMLESS, *model.trusted_types}
    yield from (f"its MLmodel asks to trust {name}" for name in sorted(asked))
    for side in ("inputs", "outputs"):
        if not (document.get("signature") or {}).get(side):
            yield f"it has no signature of its {side}"


def _scan_environment(folder: Path, model: Model) -> Iterator[str]:
    """Check that the environment names only allowed, pinned packages: installing a package runs its code."""
    required = (folder / "requirements.txt").read_text().splitlines()
    for line in required:
        pin = _PIN.fullmatch(line)
        if not pin or pin[1] not in {*PACKAGES, *model.packages}:
            yield f"its requirements ask for {line!r}"
    conda, python = _load_yaml(folder / "conda.yaml"), _load_yaml(folder / "python_env.yaml")
    *plain, nested = conda["dependencies"]
    if (nested, conda["channels"]) != ({"pip": required}, ["conda-forge"]) or set(conda) != _CONDA:
        yield "conda.yaml asks for more than its requirements"
    if python["dependencies"] != ["-r requirements.txt"]:
        yield f"python_env.yaml asks for {python['dependencies']!r}"
    for name in (*plain, *python["build_dependencies"]):
        if not _BUILT_WITH.fullmatch(name):
            yield f"its environment asks for {name!r}"


def _scan_archive(folder: Path, _: Model) -> Iterator[str]:
    with (folder / MODEL_FILE).open("rb") as file:
        if file.read(4) != b"PK\x03\x04":
            yield f"{MODEL_FILE} is no skops file"
            return
        yield from _scan_members(file, _MEMBER)


def _scan_members(file: IO[bytes], allowed: re.Pattern[str]) -> Iterator[str]:
    """Check an archive; its arrays are read only after all sizes are known to be small."""
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        odd = next((entry.filename for entry in entries if not allowed.fullmatch(entry.filename)), None)
        if odd is not None:
            yield f"{MODEL_FILE} holds {odd!r}"
        elif len({entry.filename for entry in entries}) != len(entries) or len(entries) > _ENTRIES:
            yield f"{MODEL_FILE} holds a file twice, or more than {_ENTRIES}"
        elif sum(entry.file_size for entry in entries) > _ARCHIVE:
            yield f"{MODEL_FILE} unpacks to more than {_ARCHIVE} bytes"
        elif any(entry.file_size > _RATIO * max(entry.compress_size, 1) for entry in entries):
            yield f"{MODEL_FILE} is packed more than {_RATIO} to 1"
        else:
            for entry in entries:
                if entry.filename.endswith(".npz"):
                    yield from _scan_members(io.BytesIO(archive.read(entry)), _PART)
                elif entry.filename.endswith(".npy"):
                    with archive.open(entry) as part:
                        yield from _scan_array(part, entry)


def _scan_array(file: IO[bytes], entry: zipfile.ZipInfo) -> Iterator[str]:
    """Check that an array has the size that its header says, and no pickled objects."""
    import numpy as np

    npy: Any = np.lib.format
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[npy.read_magic(file)]
    shape, _, dtype = read(file)
    if dtype.hasobject:
        yield f"{entry.filename} of {MODEL_FILE} holds pickled objects"
    elif file.tell() + int(np.prod(shape, dtype=object)) * dtype.itemsize != entry.file_size:
        yield f"{entry.filename} of {MODEL_FILE} claims the shape {shape} of {dtype}, which is not what it holds"


def _scan_types(folder: Path, model: Model) -> list[str]:
    import skops.io

    try:
        wanted = set(skops.io.get_untrusted_types(file=folder / MODEL_FILE)) - {*HARMLESS, *model.trusted_types}
    except Exception as error:  # noqa: BLE001 (as above)
        return [f"{MODEL_FILE} cannot be read: {type(error).__name__}: {str(error)[:200]}"]
    return [f"it holds the type {name}, which the use case does not trust" for name in sorted(wanted)]
