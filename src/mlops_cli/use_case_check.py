"""Checks the declarations of the use case without data. `laptop validate` runs it, since laptop.yml names it.

It prints a JSON list of problems, each with file, line, summary, reason and fix. Importing scikit-learn takes a second,
so a digest of the code that had no problem lies beside the compiled modules, and the same code is not imported again.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout, suppress
from importlib.metadata import entry_points
from pathlib import Path

Problem = dict[str, str | int]
_PASSED = Path("__pycache__", "use_case_check")


def main() -> None:
    """Print the problems of the use case of this environment, seen from the current folder."""
    folders = [_find_folder(point.module) for point in entry_points(group="mlops.use_case")]
    digest = _digest_code([*folders, _find_folder("mlops")])
    stamp = folders[0] / _PASSED if len(folders) == 1 else Path(os.devnull)
    if stamp.is_file() and stamp.read_text() == digest:
        sys.stdout.write("[]")
        return
    with redirect_stdout(sys.stderr):  # an error of the use case's own code
        problems = list(find_problems(folders[0] if folders else Path.cwd()))
    sys.stdout.write(json.dumps(problems))
    if not problems:
        with suppress(OSError):  # in a read-only checkout the check runs each time
            stamp.parent.mkdir(exist_ok=True)
            stamp.write_text(digest)


def _find_folder(module: str) -> Path:
    spec = importlib.util.find_spec(module)
    return Path(spec.origin or "").parent if spec else Path.cwd()


def _digest_code(folders: Sequence[Path]) -> str:
    """Compute a digest of the modules in folders, of the locked packages and of Python."""
    digest = hashlib.sha256(sys.version.encode())
    for file in [*(file for folder in folders for file in sorted(folder.rglob("*.py"))), Path("uv.lock")]:
        if file.is_file():
            digest.update(f"{file}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def find_problems(folder: Path) -> Iterator[Problem]:
    """Import the use case, and compute each feature on empty frames; code of a fork may raise anything.

    Args:
        folder: of the use case's package, whose lines problems name.
    """
    from mlops.context import load_use_case
    from mlops.data.feature_columns import make_column
    from mlops.data.point_in_time import compute_on_nothing

    try:
        use_case = load_use_case()
        _ = use_case.model.packages
    except Exception as error:  # noqa: BLE001 (whatever it raises is a problem of the use case)
        yield _describe_error(error, folder, "", "every task stops at its start")
        return
    for feature in use_case.features:
        known = compute_on_nothing(use_case.entity, [], use_case.sources)
        try:
            make_column(feature, feature.compute(known), 0)
        except Exception as error:  # noqa: BLE001 (as above)
            problem = _describe_error(
                _explain_column(error, use_case.entity.source, [*map(str, known.rows)]), folder,
                f"feature {feature.name!r}: ", "the task features stops",
            )  # fmt: skip
            code = getattr(feature.compute, "__code__", None)
            if code and Path(str(problem["file"])).resolve() == folder / "__init__.py":  # none of its lines led to it
                problem |= {"file": os.path.relpath(code.co_filename), "line": code.co_firstlineno}
            yield problem


def _explain_column(error: Exception, source: str, columns: Sequence[str]) -> Exception:
    """Return a sentence for a column that the entity's own rows do not have, else the error as it is."""
    from mlops.contract import ConfigError

    innermost = traceback.extract_tb(error.__traceback__)[-1].filename
    if not isinstance(error, KeyError) or "pandas" not in Path(innermost).parts:
        return error
    text = f"source {source!r} has no column {error.args[0]!r}; there are {', '.join(columns)}"
    return ConfigError(text).with_traceback(error.__traceback__)


def _describe_error(error: Exception, folder: Path, start: str, reason: str) -> Problem:
    """Describe an error at the innermost line of the use case that led to it."""
    from mlops.contract import MlopsError

    frames = traceback.extract_tb(error.__traceback__)
    places = [(frame.filename, frame.lineno or 1) for frame in frames if Path(frame.filename).is_relative_to(folder)]
    if isinstance(error, SyntaxError) and error.filename:
        places.append((error.filename, error.lineno or 1))
    file, line = places[-1] if places else (str(folder / "__init__.py"), 1)
    text = str(error) if isinstance(error, MlopsError) else f"{type(error).__name__}: {error}"
    fix = "mend the declaration" if isinstance(error, MlopsError) else "mend this line"
    return {"file": os.path.relpath(file), "line": line, "summary": f"{start}{text}", "reason": reason, "fix": fix}


if __name__ == "__main__":
    main()
