"""Compare the sources of a batch with each other, and with what their tables hold from earlier batches."""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlops.contract import UseCase
from mlops.data import agreement, large_agreement
from mlops.data.large_batches import StagedResult
from mlops.data.quarantine import BatchRows
from mlops.platform import staging
from mlops.platform.tables import Schema

if TYPE_CHECKING:
    import pyarrow as pa

Judged = BatchRows | StagedResult


@dataclass
class BatchAgreement:
    """Compares sources that have some columns in common; see `agreement.find_disagreements`."""

    own: Schema
    """Where the sources' tables are."""
    use_case: UseCase
    pool: Executor
    written: Collection[str]
    """Sources whose tables hold earlier batches."""
    results: list[Judged] = field(default_factory=list)
    _known: dict[tuple[str, str], Future[pa.Table]] = field(default_factory=dict)

    def add(self, result: Judged) -> None:
        """Add a judged source of the batch, and begin to read what other tables know of its rows.

        The reads run while the next source is judged, which keeps only this process busy.
        """
        self.results.append(result)
        if isinstance(result, BatchRows):
            for other in result.source.agrees_with:
                if self._is_written(result, other):
                    self._known[result.source.name, other] = self.pool.submit(self._read_known, result, other)

    def find_disagreements(self) -> list[str]:
        """Describe each column that differs from another source in too large a share of the rows that both have."""
        compared = [
            self.pool.submit(self._compare, result, other)
            for result in self.results
            for other in result.source.agrees_with
        ]
        return [problem for problems in compared for problem in problems.result()]

    def _is_written(self, result: Judged, other: str) -> bool:
        return other in self.written and result.published > 0

    def _read_known(self, result: BatchRows, other: str) -> pa.Table:
        key = list(result.source.key)
        with staging.open_frame(self.own, result.good.select(key)) as keys:
            known = self.own.read_table(other).join(keys, key, "left_semi")
            return known.select(*key, *result.source.agrees_with[other]).distinct().toArrow()

    def _compare(self, result: Judged, other: str) -> list[str]:
        in_batch = next((each for each in self.results if each.source.name == other), None)
        if isinstance(result, BatchRows):
            versions = [in_batch.good] if isinstance(in_batch, BatchRows) else []
            known = self._known.get((result.source.name, other))
            versions += [known.result()] if known else []
            return agreement.find_disagreements(result.source, result.good, other, versions)
        frames = [in_batch.open_rows(self.own)] if isinstance(in_batch, StagedResult) else []
        frames += [self.own.read_table(other)] if self._is_written(result, other) else []
        return large_agreement.find_disagreements(result.source, result.open_rows(self.own), other, frames)
