"""Ctrl-C: ends a program within two seconds, even while a library computes.

Python raises KeyboardInterrupt between the instructions of the main thread, thus not inside a long
call of TensorFlow. A thread waits for the signal, gives the main thread time to remove temporary
files and locks, and then ends the process.
"""

import concurrent.futures
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable

CLEAN_UP_SECONDS = 1.5

# Set at SIGINT. Libraries may turn KeyboardInterrupt into an error of their own.
interrupted = threading.Event()
# Set when the line about the interruption has been printed.
reported = threading.Event()


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
        time.sleep(CLEAN_UP_SECONDS)
        end()

    threading.Thread(target=wait, name="interruption", daemon=True).start()


def _interrupt(number, frame):
    interrupted.set()
    logging.disable()  # libraries log the exception with its traceback
    signal.default_int_handler(number, frame)


def worker_pool(processes: int) -> concurrent.futures.ProcessPoolExecutor:
    """Creates a pool of spawned processes that end without a traceback at Ctrl-C."""
    return concurrent.futures.ProcessPoolExecutor(
        processes,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_DFL),
    )
