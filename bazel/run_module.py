"""Runs a module like `python -m`; the `main` of all programs and tests in the BUILD files.

Example:
    python bazel/run_module.py data.prepare --help

A program run as a file cannot use relative imports, and modules in its folder shadow other modules
of the same name: `data/inspect.py` shadows the standard library, `export/onnx.py` shadows `onnx`.
"""

import os
import runpy
import sys

if __name__ == "__main__":
    sys.path[0] = os.getcwd()
    module = sys.argv.pop(1)
    sys.argv[0] = "-m"
    runpy.run_module(module, run_name="__main__", alter_sys=True)
