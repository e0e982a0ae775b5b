"""The site of the docs, built as by `make docs`."""

import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site; warnings are errors."""
    folder = tmp_path_factory.mktemp("docs")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (arguments,) = re.findall(r"\$\(BIN\)/python -m sphinx (.*) -d \S+ -c docs \. \S+", makefile)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "sphinx", *arguments.split()),
            *("-d", str(folder / "cache"), "-c", "docs", ".", str(folder / "site")),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "site"


@pytest.mark.slow
def test_the_site_is_built_without_warnings(site):
    assert (site / "index.html").exists()
    assert "VideoGrounder.ground" in (site / "docs" / "api" / "grounding.html").read_text("utf-8")


def test_every_page_is_part_of_the_navigation():
    contents = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    contents += (ROOT / "docs" / "api" / "index.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^(?:.*<)?([\w./]+?)>?$", contents, re.MULTILINE))
    for path in (ROOT / "docs").rglob("*.md"):
        if path.name != "index.md":
            assert path.stem in listed, f"add {path.name} to the navigation in docs/index.md"
