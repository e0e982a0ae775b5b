"""Runs a module as `python -m` does: the `main` of every program and every test of the BUILD files.

    python bazel/run_module.py data.prepare --help

Run as a file, a program cannot use relative imports, and the modules beside it hide others of the
same name: `data/inspect.py` the standard library's, `export/onnx.py` the package `onnx`.
"""

import os
import runpy
import sys

if __name__ == "__main__":
    sys.path[0] = os.getcwd()
    module = sys.argv.pop(1)
    sys.argv[0] = "-m"
    runpy.run_module(module, run_name="__main__", alter_sys=True)
