r"""Runs a program and injects a fault into it; no tests.

    python -m tests.faults.injection kill 3 gkcmn_tf.train --model_dir=...

kills the process (SIGKILL) at its third write of a whole file, just before the temporary file
replaces the old one; `killafter` just after it. `none` injects nothing.
"""

import os
import runpy
import signal
import sys


def main():
    """Arguments: fault, number of the write, module, arguments of the module."""
    fault, number, module = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    replace = os.replace
    written = 0

    def disturbed(source, target):
        nonlocal written
        written += 1
        if written == number and fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)
        if written == number and fault == "killafter":
            os.kill(os.getpid(), signal.SIGKILL)

    os.replace = disturbed
    sys.argv = [module, *sys.argv[4:]]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
