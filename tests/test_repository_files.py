"""Files about the repository itself agree with it: citation, change log, hooks, issue forms."""

import pathlib
import re
import tomllib

import pytest
import yaml

import gkcmn_tf

ROOT = pathlib.Path(__file__).parents[1]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def read_yaml(*names):
    return yaml.safe_load(ROOT.joinpath(*names).read_text(encoding="utf-8"))


def test_the_citation_names_this_version_and_the_paper():
    citation = read_yaml("CITATION.cff")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert citation["version"] == gkcmn_tf.__version__
    assert citation["license"] == project["license"]
    paper = citation["preferred-citation"]
    names = [f"{author['given-names']} {author['family-names']}" for author in paper["authors"]]
    assert f"{', '.join(names)}. {paper['title']}." in (ROOT / "README.md").read_text("utf-8")


def test_the_hooks_run_the_pinned_ruff():
    pins = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    (pinned,) = re.findall(r"^ruff==(.*)$", pins, re.MULTILINE)
    repositories = read_yaml(".pre-commit-config.yaml")["repos"]
    revisions = {repository["repo"].rpartition("/")[2]: repository for repository in repositories}
    assert revisions["ruff-pre-commit"]["rev"] == f"v{pinned}"


def test_the_change_log_has_the_version_of_the_package():
    versions = re.findall(
        r"^## \[?([\w.]+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE
    )
    assert versions[0] == "Unreleased"
    assert gkcmn_tf.__version__ in versions


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_issue_forms_have_the_fields_that_are_needed(path):
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert {"name", "description", "body"} <= form.keys()
    ids = [field["id"] for field in form["body"] if field["type"] != "markdown"]
    assert len(set(ids)) == len(ids)
    assert any(field.get("validations", {}).get("required") for field in form["body"])
