"""A laptop's registry that is locked, damaged, cut, empty or moved is told in one sentence."""

import sqlite3
from contextlib import closing

import pytest

from mlops.contract import DataError
from mlops.platform.home_store import FILE, check_store, explain_store_errors


@pytest.fixture
def home(tmp_path):
    """A home with enough of a registry: experiments, and a page or two of rows."""
    home = tmp_path / "home"
    home.mkdir()
    with closing(sqlite3.connect(home / FILE)) as store:
        store.execute("CREATE TABLE experiments (name TEXT, artifact_location TEXT)")
        store.execute("INSERT INTO experiments VALUES ('/toy', ?)", [(home / "artifacts" / "toy").as_uri()])
        store.execute("INSERT INTO experiments VALUES ('Default', 'mlruns/0')")
        store.execute("CREATE TABLE tags (value TEXT)")
        store.execute("CREATE INDEX by_value ON tags (value)")
        store.executemany("INSERT INTO tags VALUES (?)", [[str(number) * 50] for number in range(500)])
        store.commit()
    return home


def told(home):
    with pytest.raises(DataError) as found:
        check_store(home)
    said = str(found.value)
    assert "\n" not in said
    assert "[SQL" not in said
    assert str(home) in said
    return said


def test_a_home_that_is_whole_or_new_is_silent(home, tmp_path):
    check_store(home)
    check_store(tmp_path / "new")


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.9, 0.99])
def test_a_file_that_was_cut_is_damaged(home, share):
    whole = (home / FILE).read_bytes()
    (home / FILE).write_bytes(whole[: int(len(whole) * share)])
    assert "is damaged" in told(home)


@pytest.mark.parametrize("content", [b"garbage" * 1000, b"{}", b"SQLite format 3\0" + b"x" * 5000])
def test_garbage_is_damaged(home, content):
    (home / FILE).write_bytes(content)
    assert "is damaged" in told(home)


def test_an_empty_file_is_no_new_registry(home):
    (home / FILE).write_bytes(b"")
    assert "is an empty file" in told(home)


def test_a_lock_of_somebody_else_is_told(home, monkeypatch):
    monkeypatch.setattr("mlops.platform.home_store._PATIENCE", 0.1)
    with closing(sqlite3.connect(home / FILE)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert "is locked by another process" in told(home)
    check_store(home)


def test_a_moved_home_says_that_it_was_moved_and_a_link_mends_it(home, tmp_path):
    there = home.rename(tmp_path / "elsewhere")
    assert told(there).startswith(f"this home lies in {there}, and was made in {home}: it was moved")
    home.symlink_to(there)
    check_store(there)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("(sqlite3.OperationalError) database is locked\n[SQL: UPDATE ...]", "is locked"),
        ("(sqlite3.DatabaseError) database disk image is malformed\n[SQL: SELECT]", "is damaged (database disk image"),
    ],
)
def test_what_comes_up_later_is_told_too(home, text, said):
    with pytest.raises(DataError) as found, explain_store_errors(home / FILE):
        raise RuntimeError(text)
    assert said in str(found.value)
    assert "SQL" not in str(found.value)
    with pytest.raises(RuntimeError), explain_store_errors(home / FILE):
        raise RuntimeError("something else")
    with pytest.raises(RuntimeError), explain_store_errors(None):
        raise RuntimeError(text)
