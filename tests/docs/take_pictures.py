"""Take the pictures of docs/pictures anew: `python tests/docs/take_pictures.py HOME`, with Chromium or Chrome.

HOME is where `laptop demo` ran. Each picture is a page that a job logged there, or the index of the home,
as a headless browser shows it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs/pictures"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
COLORS = 128
"""So many are enough for pages of text and lines, and keep a picture below the limit of 150 kB."""


class Picture(NamedTuple):
    """What a picture shows, and how large it is."""

    html: Callable[[Path], str]
    """Makes the page from a home."""
    width: int
    height: int


def find_page(home: Path, name: str, target: str = "prod") -> Path:
    """The newest page of a name that a job of a target logged."""
    pages = sorted(home.glob(f"artifacts/*-{target}/*/artifacts/{name}"), key=lambda page: page.stat().st_mtime)
    if not pages:
        raise SystemExit(f"{home} has no {name} of target {target}: run `laptop demo --home {home}` first")
    return pages[-1]


def read_page(name: str) -> Callable[[Path], str]:
    return lambda home: find_page(home, name).read_text()


def render_home(home: Path) -> str:
    from laptop.home_pages import render_index

    return render_index(home).replace(str(home), ".laptop")


SHOWN: Mapping[str, Picture] = {
    "report.png": Picture(read_page("report.html"), 1200, 900),
    "verdict.png": Picture(read_page("verdict.html"), 1200, 900),
    "data.png": Picture(read_page("data.html"), 1200, 800),
    "home.png": Picture(render_home, 1200, 700),
}


def find_browser() -> str:
    paths = [path for name in BROWSERS if (path := shutil.which(name))]
    if not paths:
        raise SystemExit(f"none of {', '.join(BROWSERS)} is on the PATH: install Chromium")
    return paths[0]


def take_picture(browser: str, picture: Picture, home: Path, file: Path) -> None:
    """Let a headless browser show a page, and save what it shows in few colours."""
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        page, shot = Path(folder, "page.html"), Path(folder, "shot.png")
        page.write_text(picture.html(home))
        options = ["--headless", "--no-sandbox", "--hide-scrollbars", "--disable-gpu", f"--user-data-dir={folder}/user"]
        size = [f"--window-size={picture.width},{picture.height}", f"--screenshot={shot}"]
        subprocess.run([browser, *options, *size, page.as_uri()], check=True, capture_output=True, timeout=120)
        with Image.open(shot) as taken:
            taken.convert("RGB").quantize(COLORS).save(file, optimize=True)


def main(home: Path, folder: Path = PICTURES) -> None:
    browser = find_browser()
    for name, picture in SHOWN.items():
        take_picture(browser, picture, home, folder / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
