"""Files that tasks write: whole, once, and where the path says."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.contract import ConfigError
from mlops.platform import storage

VOLUME = "/Volumes/prod/flights/landing"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LAPTOP_HOME", str(tmp_path))
    return tmp_path


def test_a_file_is_written_once_and_again_if_its_content_changes(home: Path) -> None:
    path = f"dbfs:{VOLUME}/a/b.csv"
    assert [storage.write_text(path, text) for text in ("é", "é", "two", "")] == [True, False, True, True]
    (entry,) = storage.list_entries(f"{VOLUME}/a")
    assert entry.path == str(home / "Volumes/prod/flights/landing/a/b.csv")
    assert storage.list_entries(f"{VOLUME}/none") == []


def test_a_write_that_is_cut_short_leaves_the_file_as_it_was(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.write_text(f"{VOLUME}/a", "old")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        storage.write_text(f"{VOLUME}/a", "new")
    assert storage.resolve_local_path(f"{VOLUME}/a").read_text() == "old"


def test_a_volume_that_is_not_mounted_is_never_made_as_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a workspace a task would else land files on the machine's own disk, and end as SUCCESS."""
    monkeypatch.delenv("LAPTOP_HOME", raising=False)
    with pytest.raises(ConfigError, match="there is no volume /Volumes/none/of/these: create it"):
        storage.write_text("/Volumes/none/of/these/a/b.csv", "text")
    assert not Path("/Volumes/none").exists()


@given(st.sampled_from(["a", "/a/../b", "/Volumes/a/b", "/Volumes/a/b/", "/Volumes/a-b/c/d", "/a\nb", ""]))
def test_a_path_that_means_no_file_is_refused(path: str) -> None:
    with pytest.raises(ConfigError, match=r"^path .*"):
        storage.resolve_local_path(path)
