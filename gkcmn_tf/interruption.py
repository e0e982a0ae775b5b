"""Ctrl-C: ends a program within two seconds, even while a library computes.

Python raises KeyboardInterrupt between the instructions of the main thread, thus not inside a long
call of TensorFlow. A thread waits for the signal, ends worker processes, gives the main thread time
to remove temporary files and locks, and then ends the process.
"""

import concurrent.futures
import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

CLEAN_UP_SECONDS = 1.5
_WARNINGS = "PYTHONWARNINGS"

# Libraries may turn KeyboardInterrupt into an error of their own.
_interrupted = threading.Event()
_reported = threading.Lock()  # acquired by the thread that prints the line, never released
_worker_ends: list[Callable[[], None]] = []


def happened() -> bool:
    """Whether this program has received SIGINT."""
    return _interrupted.is_set()


def report(line: str) -> None:
    """Prints the line about the interruption on stderr, once per process."""
    if _reported.acquire(blocking=False):
        print(line, file=sys.stderr)


def end_after_interrupt(end: Callable[[], None]) -> None:
    """Calls `end` if the main thread still runs a while after SIGINT.

    Call it in the main thread. It does nothing if SIGINT is ignored, as under `nohup`.

    Args:
        end: prints what was interrupted and ends the process.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return
    signal.signal(signal.SIGINT, _interrupt)
    received, send = os.pipe()
    os.set_blocking(send, False)
    # Python's C code writes the number of each signal, also while the main thread is in a library.
    signal.set_wakeup_fd(send, warn_on_full_buffer=False)

    def wait():
        while os.read(received, 1)[0] != signal.SIGINT:
            pass
        deadline = time.monotonic() + CLEAN_UP_SECONDS
        _silence_libraries()
        for end_workers in list(_worker_ends):
            end_workers()
        time.sleep(max(0, deadline - time.monotonic()))
        end()

    threading.Thread(target=wait, name="interruption", daemon=True).start()


def _interrupt(number, frame):
    _silence_libraries()
    signal.default_int_handler(number, frame)


def _silence_libraries():
    _interrupted.set()
    # Libraries log the exception with its traceback, and their threads fail without workers.
    logging.disable()
    threading.excepthook = lambda _: None


@contextlib.contextmanager
def ending_workers(end_workers: Callable[[], None]) -> Iterator[None]:
    """Context manager during which SIGINT calls `end_workers`, in a thread."""
    _worker_ends.append(end_workers)
    try:
        yield
    finally:
        _worker_ends.remove(end_workers)


@contextlib.contextmanager
def worker_map(
    function: Callable[[Any], Any], inputs: Iterable, processes: int
) -> Iterator[Iterator]:
    """Context manager for results of spawned processes that end silently at Ctrl-C.

    They end with this process, too, however it ends.

    Args:
        function: picklable function of one input.
        inputs: its inputs.
        processes: number of processes.

    Yields:
        the results in the order of the inputs.
    """
    with contextlib.ExitStack() as stack:
        with _settings_of_new_processes():
            pool = concurrent.futures.ProcessPoolExecutor(
                processes,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_prepare_worker,
            )
            stack.callback(pool.shutdown, cancel_futures=True)
            stack.enter_context(ending_workers(_kill_children))
            results = pool.map(function, inputs)
        yield results


@contextlib.contextmanager
def _settings_of_new_processes():
    """Context manager; processes inherit the signal mask and the environment at their start."""
    before = os.environ.get(_WARNINGS)
    # If the main thread is ended, the process that removes the semaphores warns that it did.
    ignored = "ignore:resource_tracker:UserWarning"
    os.environ[_WARNINGS] = f"{before},{ignored}" if before else ignored
    # A signal that arrives while workers import modules, which would print a traceback, remains
    # pending until their initializer.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        if before is None:
            del os.environ[_WARNINGS]
        else:
            os.environ[_WARNINGS] = before


def _prepare_worker():
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()


def _end_with_parent():
    # A parent that is killed cannot end its workers, which would wait for inputs forever.
    multiprocessing.parent_process().join()
    os._exit(1)


def _kill_children():
    for process in multiprocessing.active_children():
        process.kill()
