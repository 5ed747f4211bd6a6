"""Days of the sample that the demo replays, and days on which tests prove that no feature uses the future."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from mlops.contract.declared import Declared
from mlops.contract.errors import ConfigError

_DAY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Replay(Declared):
    """Days (UTC) of the sample that `UseCase.sample` makes."""

    first_file: date
    """First day that has files."""
    trained: date
    """The first version is trained as of midnight of this day, on the days before it."""
    default_end: date
    """Last day that `laptop demo` replays unless it gets --until; the first window ends with it."""
    last_day: date
    """Last day that can be replayed."""
    tested: tuple[date, date]
    """First and last of the few days whose files the tests read to prove that no feature uses the future."""
    window: timedelta = timedelta(days=28)
    """Length of every later window, whole days."""

    def __post_init__(self) -> None:
        """Raise ConfigError unless the days are in order."""
        super().__post_init__()
        if not self.first_file < self.trained <= self.default_end <= self.last_day:
            raise ConfigError(
                f"the days of the replay are not in order: first_file {self.first_file} < trained {self.trained} <= "
                f"default_end {self.default_end} <= last_day {self.last_day} is expected"
            )
        if not self.first_file <= self.tested[0] < self.tested[1] <= self.last_day:
            raise ConfigError(
                f"tested is {self.tested[0]} to {self.tested[1]}: two different days, in order, between first_file "
                f"{self.first_file} and last_day {self.last_day} are expected"
            )
        if self.window < _DAY or self.window % _DAY:
            raise ConfigError(f"the window of the replay is {self.window}: one or more whole days are expected")

    def list_windows(self, until: date) -> Iterator[tuple[date, date]]:
        """First and last day of each window until a day: to `default_end`, then `window` at a time."""
        since, end = self.trained, min(until, self.default_end)
        while since <= end:
            yield since, end
            since, end = end + _DAY, min(until, end + self.window)
