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
PINNED_FOR_OTHERS = {"protobuf", "backports-strenum"}
PINNED_FOR_MAKE = {"uv", "pip-licenses", "setuptools-scm"}
# Of Python in a browser, macOS and Windows.
OF_OTHER_PLATFORMS = {"httpx2-jsfetch", "appnope", "pywinpty"}


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


def read_lock(name):
    """Versions and hashes by canonical name; a package may have a version for each Python."""
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            requirement, *hashes = line.split(" --hash=")
            requirement = Requirement(requirement)
            (pin,) = requirement.specifier
            assert pin.operator == "=="
            found.setdefault(canonicalize_name(requirement.name), {})[pin.version] = [
                each.strip() for each in hashes
            ]
    return found


LOCK = read_lock("requirements.lock")
BUILD_LOCK = read_lock("requirements-build.lock")


def test_every_folder_of_the_source_is_installed_under_one_name():
    folders = PYPROJECT["tool"]["setuptools"]["package-dir"]
    expected = {"gkcmn_tf.configs"}
    for package in ("gkcmn_tf", "gkcmn_tf.data", "gkcmn_tf.export"):
        top = ROOT / folders[package]
        for file in top.rglob("__init__.py"):
            expected.add(".".join([package, *file.parent.relative_to(top).parts]))
    assert set(PYPROJECT["tool"]["setuptools"]["packages"]) == expected


def test_requirements_pin_every_dependency():
    assert PINS.keys() - PINNED_FOR_OTHERS - PINNED_FOR_MAKE == WANTED.keys()


@pytest.mark.parametrize("name", WANTED)
def test_pinned_versions_satisfy_the_dependencies(name):
    ((pin,),) = (list(requirement.specifier) for requirement in PINS[name])
    assert pin.operator == "=="
    for requirement in WANTED[name]:
        assert requirement.specifier.contains(pin.version), requirement


@pytest.mark.parametrize("name", PINS)
def test_the_lock_has_the_pinned_version(name):
    # Fails when requirements.txt is newer than the lock: `make lock`.
    ((pin,),) = (list(requirement.specifier) for requirement in PINS[name])
    assert LOCK[name].keys() == {pin.version}


@pytest.mark.parametrize("lock", [LOCK, BUILD_LOCK], ids=["all", "build"])
def test_every_locked_package_has_hashes(lock):
    assert lock
    for name, versions in lock.items():
        for version, hashes in versions.items():
            assert hashes, f"{name} {version}"
            for each in hashes:
                algorithm, _, digest = each.partition(":")
                assert (algorithm, len(bytes.fromhex(digest))) == ("sha256", 32)


def test_build_tools_are_those_of_the_lock():
    assert {"setuptools", "setuptools-scm"} <= BUILD_LOCK.keys()
    assert {name: LOCK[name] for name in BUILD_LOCK} == BUILD_LOCK


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-build.lock"])
def test_no_lock_says_where_packages_are_downloaded(name):
    # That is a setting of pip, such as a mirror.
    text = (ROOT / name).read_text(encoding="utf-8")
    assert "://" not in text and "--index" not in text and "--find-links" not in text


def test_every_locked_package_has_its_licence_listed():
    # As installed with Python 3.11 on Linux: `make licences`.
    text = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.split("|")[1:4]] for line in lines]
    listed = {canonicalize_name(name): (version, licence) for name, version, licence in rows[2:]}
    for name in LOCK.keys() - OF_OTHER_PLATFORMS:
        version, licence = listed[name]
        assert version in LOCK[name], name
        assert licence
        assert licence != "UNKNOWN" or name in notice, name


@pytest.mark.parametrize("package", extras.PACKAGES)
def test_the_extra_named_in_an_error_contains_the_package(package):
    distribution, extra = extras.PACKAGES[package]
    assert canonicalize_name(Requirement(distribution).name) in EXTRAS[extra]


def test_the_extra_all_contains_every_extra():
    (everything,) = EXTRAS["all"][OWN_NAME]
    assert everything.extras == EXTRAS.keys() - {"all"}
