"""Limits of a call that reads an untrusted file; no tests."""

import contextlib
import pathlib
import resource
import signal

SECONDS = 5
BYTES = 2 * 2**30


class TooSlow(BaseException):
    """A call took more than `SECONDS` of processor time."""


class TooLarge(BaseException):
    """A call needed more than `BYTES` of memory."""


@contextlib.contextmanager
def limited():
    """Limits processor time and memory; a call beyond them raises `TooSlow` or `TooLarge`.

    Both derive from `BaseException`, so that no `except Exception` hides them.
    """

    def stop(*_):
        raise TooSlow(f"more than {SECONDS} s of processor time")

    used = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    previous = signal.signal(signal.SIGPROF, stop)
    resource.setrlimit(resource.RLIMIT_AS, (used + BYTES, before[1]))
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    except MemoryError as error:
        raise TooLarge(f"more than {BYTES} bytes of memory") from error
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)
        resource.setrlimit(resource.RLIMIT_AS, before)
