"""Checks the bundle against the CLI's own JSON schema, which `databricks bundle schema` prints."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from laptop.bundle import BundleSource
from laptop.document import Diagnostic
from laptop.home import LaptopError


def schema_errors(source: BundleSource, file: Path) -> Iterator[Diagnostic]:
    """Yield the schema's errors in the merged files, before a target is merged in.

    Args:
        source: the bundle as it is written.
        file: the schema.

    Raises:
        LaptopError: the file is no JSON schema, or the package that reads one is not installed.
    """
    for error in _validator(file).iter_errors(source.tree.plain()):
        for cause in _causes(error):
            path = list(cause.absolute_path)
            if cause.validator == "required" and path[:1] == ["targets"]:
                continue  # a target's part of a resource may be incomplete
            what = f"{'.'.join(map(str, path)) or 'databricks.yml'}: {cause.message[:300]}"
            yield Diagnostic("schema", source.tree.locate(*path), what, "the CLI's schema refuses it", "mend it")


def _causes(error: Any) -> Iterator[Any]:
    """Yield the errors worth reporting. The schema allows most values twice, as themselves or as a reference."""
    first = [cause for cause in error.context or () if cause.schema_path[0] == 0]
    if not error.context:
        yield error
    for cause in first or error.context:
        yield from _causes(cause)


def _validator(file: Path) -> Any:
    try:
        import jsonschema  # type: ignore[import-untyped]
        import regress
    except ImportError:
        raise LaptopError("--schema needs the packages of group dev: run `uv sync`") from None
    compiled = cache(lambda text: regress.Regex(text, "u"))

    def pattern(validator: Any, text: str, instance: Any, _: Any) -> Iterator[Any]:
        r"""The patterns are JavaScript's: Python's own module does not know \p."""
        if validator.is_type(instance, "string") and not compiled(text).find(instance):
            yield jsonschema.ValidationError(f"{instance!r} does not match {text!r}")

    try:
        schema = json.loads(file.read_text(encoding="utf-8"))
        anything = jsonschema.FormatChecker(formats=())  # its patterns have JavaScript's syntax
        jsonschema.Draft202012Validator.check_schema(schema, format_checker=anything)
    except (OSError, ValueError, jsonschema.SchemaError) as error:
        raise LaptopError(f"{file} is no JSON schema: {str(error).splitlines()[0]}") from None
    return jsonschema.validators.extend(jsonschema.Draft202012Validator, {"pattern": pattern})(schema)
