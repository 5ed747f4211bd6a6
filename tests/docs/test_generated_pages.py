"""docs/: the generated parts are those that the generator writes, and every link leads to a page and a heading."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from generate_pages import PARTS, ROOT, render_page

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("part", PARTS)
def test_a_generated_part_is_what_the_generator_writes(part):
    path, text = render_page(part)
    assert path.read_text() == text, "run: python tests/docs/generate_pages.py"


def anchors(page: Path) -> set[str]:
    text = page.read_text()
    for included in re.findall(r'^--8<-- "(.+)"$', text, re.MULTILINE):
        text += (ROOT / included).read_text()
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = page if not path else page.parent / path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_index_names_every_page():
    index = (ROOT / "docs/index.md").read_text()
    pages = {str(page.relative_to(ROOT / "docs")) for page in PAGES if page.is_relative_to(ROOT / "docs")}
    decisions = {page for page in pages if "/decisions/" in page}
    assert {page for page in pages - decisions - {"index.md"} if f"({page})" not in index} == set()


def test_the_site_has_every_page_once():
    listed = re.findall(r'"([\w/-]+\.md)"', (ROOT / "zensical.toml").read_text())
    pages = [str(page.relative_to(ROOT / "docs")) for page in PAGES if page.is_relative_to(ROOT / "docs")]
    assert sorted(listed) == sorted(pages)


def test_every_path_of_docs_that_a_file_names_is_there():
    from subprocess import run

    listed = run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    named = {}
    for name in listed:
        if name.startswith(("tests/bundle/cli_cases", "tests/docs/")) or name in {"uv.lock", "CHANGELOG.md"}:
            continue
        path = ROOT / name
        if path.is_file() and path.suffix in {".py", ".md", ".yml", ".toml", ".json", ".j2", ".html", ".sql"}:
            for page in re.findall(r"(?<![\w/])docs/[\w/-]+\.md", path.read_text()):
                named[page] = name
    assert {page: name for page, name in named.items() if not (ROOT / page).exists()} == {}


def test_the_readme_is_short_and_has_a_picture():
    text = (ROOT / "README.md").read_text()
    assert len(text.split()) <= 700
    assert re.search(r"!\[[^\]]+\]\(docs/pictures/[\w-]+\.png\)", text)
    assert all(picture.stat().st_size <= 150_000 for picture in (ROOT / "docs/pictures").iterdir())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_prose_breaks_at_100_characters(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    long = [line for line in text.splitlines() if len(line) > 100 and not line.lstrip().startswith(("|", "!", "    "))]
    assert [line for line in long if " " in line.strip() and len(re.sub(r"\(https?://\S+\)", "", line)) > 100] == []
