"""Packages and dependencies in pyproject.toml match the repository."""

import itertools
import pathlib
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gkcmn_tf import extras

ROOT = pathlib.Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
OWN_NAME = "gkcmn-tf"
# Pinned because other packages do not restrict their versions.
PINNED_FOR_OTHERS = {"protobuf"}


def requirements(lines):
    """Returns lists of requirements by canonical name; several extras may need one package."""
    found = {}
    for line in lines:
        requirement = Requirement(line)
        found.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return found


EXTRAS = {name: requirements(lines) for name, lines in PROJECT["optional-dependencies"].items()}
WANTED = requirements(
    [*PROJECT["dependencies"], *itertools.chain(*PROJECT["optional-dependencies"].values())]
)
WANTED.pop(OWN_NAME)
PINS = requirements(
    line.partition(" #")[0]
    for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
)


def test_every_folder_of_the_source_is_installed_under_one_name():
    folders = PYPROJECT["tool"]["setuptools"]["package-dir"]
    expected = {"gkcmn_tf.configs"}
    for package in ("gkcmn_tf", "gkcmn_tf.data", "gkcmn_tf.export"):
        top = ROOT / folders[package]
        for file in top.rglob("__init__.py"):
            expected.add(".".join([package, *file.parent.relative_to(top).parts]))
    assert set(PYPROJECT["tool"]["setuptools"]["packages"]) == expected


def test_requirements_pin_every_dependency():
    assert PINS.keys() - PINNED_FOR_OTHERS == WANTED.keys()


@pytest.mark.parametrize("name", WANTED)
def test_pinned_versions_satisfy_the_dependencies(name):
    ((pin,),) = (list(requirement.specifier) for requirement in PINS[name])
    assert pin.operator == "=="
    for requirement in WANTED[name]:
        assert requirement.specifier.contains(pin.version), requirement


@pytest.mark.parametrize("package", extras.PACKAGES)
def test_the_extra_named_in_an_error_contains_the_package(package):
    distribution, extra = extras.PACKAGES[package]
    assert canonicalize_name(Requirement(distribution).name) in EXTRAS[extra]


def test_the_extra_all_contains_every_extra():
    (everything,) = EXTRAS["all"][OWN_NAME]
    assert everything.extras == EXTRAS.keys() - {"all"}
