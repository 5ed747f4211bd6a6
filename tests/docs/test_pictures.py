"""docs/pictures: each picture is one that the script takes and a page shows, and the script takes it from a home."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
import take_pictures
from take_pictures import PICTURES, ROOT, SHOWN

BROWSER = """#!{python}
import sys
from PIL import Image
options = dict(word.partition("=")[::2] for word in sys.argv[1:-1])
assert open(sys.argv[-1].removeprefix("file://")).read().startswith("<!doctype html>")
width, height = map(int, options["--window-size"].split(","))
Image.new("RGB", (width, height), "white").save(options["--screenshot"])
"""


def test_every_picture_is_taken_by_the_script_and_shown_by_a_page() -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    shown = {name for page in pages for name in re.findall(r"pictures/([\w-]+\.png)", page.read_text())}
    assert {file.name for file in PICTURES.iterdir()} == set(SHOWN) == shown


def test_the_newest_page_of_prod_is_shown(tmp_path: Path) -> None:
    for moment, run in enumerate(("b", "c", "a")):
        page = tmp_path / f"artifacts/flights-{'dev' if run == 'a' else 'prod'}/{run}/artifacts/report.html"
        page.parent.mkdir(parents=True)
        page.write_text(run)
        os.utime(page, (moment, moment))
    assert take_pictures.find_page(tmp_path, "report.html").read_text() == "c"
    with pytest.raises(SystemExit, match="has no verdict"):
        take_pictures.find_page(tmp_path, "verdict.html")


def test_a_browser_shows_each_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match="is on the PATH"):
        take_pictures.find_browser()
    browser = tmp_path / "chromium"
    browser.write_text(BROWSER.format(python=sys.executable))
    browser.chmod(0o755)
    picture = take_pictures.Picture(lambda home: f"<!doctype html><p>{home}</p>", 300, 200)
    take_pictures.take_picture(take_pictures.find_browser(), picture, tmp_path, tmp_path / "shot.png")
    with Image.open(tmp_path / "shot.png") as taken:
        assert taken.size == (300, 200)
