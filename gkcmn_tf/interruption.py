"""Ctrl-C: ends a program within two seconds, with one line on stderr and exit status 130.

Python handles signals between the instructions of its main thread, thus not while TensorFlow
computes. Here a separate thread waits for SIGINT. It silences stderr, raises KeyboardInterrupt in
the main thread, which removes temporary files and locks, and kills worker processes. If the main
thread has not ended the program after a second, this thread does.

SIGINT is blocked in all other threads and in the processes that they start. Otherwise, Ctrl-C would
also reach the workers, which would print tracebacks. A program that another one starts is such a
worker and ends with it.
"""

import concurrent.futures
import contextlib
import multiprocessing
import multiprocessing.resource_tracker
import os
import signal
import sys
import threading
import time

import psutil

STATUS = 130
CLEAN_UP_SECONDS = 1.0
_STDERR = 2
# Ends waiting calls of the main thread. By default, processes ignore it.
_WAKE_UP = signal.SIGURG


class _Watch:
    """The thread that waits for SIGINT, and what to print then."""

    def __init__(self):
        self.line = ""
        self.debug = False
        self.interrupted = False
        # Kept, since `program.start` redirects stderr during the import of TensorFlow.
        self._stderr = -1
        with contextlib.suppress(OSError):  # closed
            self._stderr = os.dup(_STDERR)
        self._end = threading.Lock()
        signal.signal(_WAKE_UP, signal.default_int_handler)
        # Before the thread is started: the threads and processes of this thread inherit the mask.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        self._thread = threading.Thread(target=self._wait, name="interruption", daemon=True)
        self._thread.start()
        # In case a library unblocks the signal.
        signal.signal(signal.SIGINT, self._pass_on)

    def _pass_on(self, number, frame):
        del frame
        signal.pthread_kill(self._thread.ident, number)

    def _wait(self):
        signal.sigwait([signal.SIGINT])
        if not self.debug:
            os.dup2(os.open(os.devnull, os.O_WRONLY), _STDERR)
        self.interrupted = True
        # Workers do not see the end of their connections, which they would report.
        _for_workers(psutil.Process.suspend)
        signal.pthread_kill(threading.main_thread().ident, _WAKE_UP)
        _for_workers(psutil.Process.kill)
        time.sleep(CLEAN_UP_SECONDS)
        self.end()

    def end(self):
        """Prints the line and ends the process, without waiting for threads."""
        self._end.acquire()  # the thread that comes second waits for the end of the process
        _for_workers(psutil.Process.kill)
        prefix = "\n" if self._line_is_begun() else ""
        with contextlib.suppress(OSError):
            os.write(self._stderr, f"{prefix}{self.line}\n".encode("utf-8", "replace"))
        os._exit(STATUS)

    def _line_is_begun(self):
        """Whether stderr ends with `^C` or a progress bar."""
        bars = getattr(sys.modules.get("tqdm"), "tqdm", None)
        return os.isatty(self._stderr) or bool(getattr(bars, "_instances", ()))


_watch: _Watch | None = None


def watch() -> None:
    """Handles SIGINT from now on; call it in the main thread, before others are started.

    Does nothing if SIGINT is ignored (`nohup`, `&` in scripts) or blocked (in workers).
    """
    global _watch  # noqa: PLW0603
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if _watch is None and not ignored and signal.SIGINT not in blocked:
        _watch = _Watch()
        describe(_command())


def _command():
    """The command of a program that is still being imported."""
    if sys.argv[0] == "-m":  # while Python locates the module
        return f"python -m {sys.orig_argv[sys.orig_argv.index('-m') + 1]}"
    return os.path.basename(sys.argv[0])


def describe(command: str, *, resumes: bool = False, debug: bool = False) -> None:
    """Sets what is printed at an interruption.

    Args:
        command: the command of the program.
        resumes: whether the same command continues what was interrupted.
        debug: whether stderr is kept open, for tracebacks.
    """
    if _watch is not None:
        _watch.line = f"interrupted: {command}"
        if resumes:
            _watch.line += "; the same command continues"
        _watch.debug = debug


def worker_pool(processes: int) -> concurrent.futures.ProcessPoolExecutor:
    """Creates a pool of spawned processes that Ctrl-C does not reach."""
    if _watch is not None:
        # Unblocks SIGINT when it starts, which would otherwise be before the first worker.
        multiprocessing.resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    context = multiprocessing.get_context("spawn")
    return concurrent.futures.ProcessPoolExecutor(processes, mp_context=context)


def is_interrupted() -> bool:
    """Whether SIGINT has been received."""
    return _watch is not None and _watch.interrupted


def stop() -> None:
    """Ends the watch: during the exit of the interpreter, SIGINT ends the process at once.

    If the program has been interrupted, the process ends here.
    """
    if _watch is None:
        return
    if _watch.interrupted:
        _watch.end()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])


def _for_workers(act):
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            act(process)
