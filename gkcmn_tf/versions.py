"""Versions of Python, packages and source code, as saved with runs and exports."""

import contextlib
import importlib.metadata
import os
import platform
import subprocess
import sys

PACKAGES = ("tensorflow", "keras", "tf-models-official", "numpy", "av")


def versions() -> dict:
    """Returns the versions of Python, the main packages that are installed, and the source code."""
    source = os.path.dirname(os.path.abspath(__file__))
    commit = subprocess.run(
        ["git", "-C", source, "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
    )
    found = {
        "python": platform.python_version(),
        "command": sys.argv,
        "commit": commit.stdout.strip() or "not a git checkout",
    }
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found
