"""Score rows with a model, here or in Spark's workers, by the same function over parts of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from mlops.contract import Expectation, UseCase
from mlops.data import table_schemas
from mlops.data.contributions import find_reasons
from mlops.data.expectations import find_broken_rows
from mlops.data.row_contract import days_of, score_valid_rows
from mlops.data.table_schemas import REASONS
from mlops.platform.tables import SQL_TYPES
from mlops.questions import question_of

if TYPE_CHECKING:
    import pyarrow as pa
    from sklearn.pipeline import Pipeline

BROKEN = "_broken"
"""Column that is added to scored rows: the rules that a row breaks; null: it was scored."""
PART = 10_000
"""Number of rows that are scored at once, as many as Spark hands to a worker at once by default."""


@dataclass(frozen=True)
class RowScorer:
    """Scores parts of rows; the same in this process and in Spark's workers."""

    use_case: UseCase
    pipeline: Pipeline
    kept: Sequence[str]
    """Columns of the rows to keep. They stay in Arrow, so that they are what they were."""
    names: Mapping[str, str]
    """Name of each added column, by its name in `Question.score_columns`."""
    expectations: Callable[[], Sequence[Expectation]] = tuple
    """Makes the expectations that each row must meet."""
    reasons: int = 0
    """Number of contributions in the column REASONS; 0: there is no such column."""
    is_tolerant: bool = False
    """As for `row_contract.score_valid_rows`."""
    day_column: str = ""
    """A timestamp; if the model raises for one row of a part, no row of the part with the same day (UTC) is scored."""

    @property
    def new_columns(self) -> dict[str, str]:
        """Type, as in SQL_TYPES, of each added column but BROKEN, by its name."""
        types: dict[str, str] = {c: type_ for c, type_, _ in question_of(self.use_case.label).score_columns}
        added = {name: types[column] for column, name in self.names.items()}
        return added | ({REASONS: "string"} if self.reasons else {})

    def score_on_spark(self, rows: DataFrame) -> DataFrame:
        """Select the columns to keep of rows with features, and add the model's predictions and BROKEN.

        (Rejected: `mapInPandas`, which makes floats of whole numbers as soon as one is missing, and refuses them as
        keys.)
        """
        types = {name: SQL_TYPES[type_] for name, type_ in self.new_columns.items()} | {BROKEN: "ARRAY<STRING>"}
        added = (F.lit(None).cast(type_).alias(name) for name, type_ in types.items())
        return rows.mapInArrow(self.score_parts, rows.select(*self.kept, *added).schema)

    def score_here(self, rows: pa.Table) -> pa.Table:
        """Do as `score_on_spark` does, with rows that are here, of which there is at least one."""
        import pyarrow as pa

        return pa.Table.from_batches(self.score_parts(rows.combine_chunks().to_batches(PART)))

    def score_parts(self, parts: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Score parts, one after the other; one without rows is left out."""
        return (self._score(part) for part in parts if part.num_rows)

    def _score(self, part: pa.RecordBatch) -> pa.RecordBatch:
        import pyarrow as pa

        use_case, question = self.use_case, question_of(self.use_case.label)
        required = [column.name for column in table_schemas.entity_columns(use_case) if column.name in self.kept]
        there = {*part.schema.names}
        inputs = part.select([feature.name for feature in use_case.features if feature.name in there]).to_pandas()
        breaks = find_broken_rows(pa.Table.from_batches([part]), self.expectations(), required)
        groups = days_of(part.column(self.day_column).to_numpy(zero_copy_only=False)) if self.day_column else None
        scores, broken = score_valid_rows(
            self.pipeline, inputs, use_case, breaks, is_tolerant=self.is_tolerant, groups=groups
        )
        packed, added = question.pack_scores(scores), self.new_columns
        is_broken = np.isin(np.arange(len(inputs)), [*broken])
        columns = [_to_arrow(packed[column], arrow_type(added[name]), is_broken) for column, name in self.names.items()]
        if self.reasons:
            reasons = find_reasons(self.pipeline, inputs, use_case, ~is_broken, self.reasons)
            columns.append(pa.array(reasons, pa.string()))
        rules = pa.array([broken.get(at) for at in range(len(inputs))], pa.list_(pa.string()))
        arrays = [*(part.column(name) for name in self.kept), *columns, rules]
        return pa.RecordBatch.from_arrays(arrays, names=[*self.kept, *added, BROKEN])


def arrow_type(type_: str) -> pa.DataType:
    """Return Arrow's type for one of SQL_TYPES."""
    import pyarrow as pa

    moment, numbers = pa.timestamp("us", "UTC"), pa.map_(pa.string(), pa.float64())
    types = {"string": pa.string(), "long": pa.int64(), "double": pa.float64(), "timestamp": moment, "map": numbers}
    return types[type_]


def _to_arrow(values: Any, type_: pa.DataType, missing: np.ndarray[Any, Any]) -> pa.Array:
    import pyarrow as pa

    # Arrow takes the entries of a map as pairs.
    return pa.array([[*value.items()] for value in values] if pa.types.is_map(type_) else values, type_, mask=missing)
