"""A lock on the folder of a program, so that two programs do not write to it at once."""

import contextlib
import datetime
import fcntl
import json
import os
import socket
from collections.abc import Iterator

from absl import logging

LOCK_FILE = ".lock"


@contextlib.contextmanager
def folder_lock(folder: str) -> Iterator[None]:
    """Context manager that creates a folder and locks it for this process.

    A folder that is still empty at the end is removed again. The operating system releases the lock
    when the process ends, however it ends. On file systems without locks, a warning is logged.

    Raises:
        ValueError: another process holds the lock; names its host, process and start.
    """
    created = not os.path.isdir(folder)
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, LOCK_FILE)
    with contextlib.ExitStack() as stack:
        while True:
            file = stack.enter_context(open(path, "a+", encoding="utf-8"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ValueError(
                    f"{folder}: in use by {_holder(file)}; wait until it ends, or end it"
                ) from error
            except OSError as error:
                logging.warning(
                    "%s: cannot be locked (%s); do not run two programs on it at once",
                    folder,
                    error.strerror,
                )
                break
            # Another process may have removed the file before it was locked here.
            if os.path.exists(path) and os.path.samestat(os.stat(path), os.fstat(file.fileno())):
                break
        file.truncate(0)
        holder = {
            "host": socket.gethostname(),
            "process": os.getpid(),
            "since": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        }
        file.write(json.dumps(holder))
        file.flush()
        try:
            yield
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.remove(path)
            if created:
                with contextlib.suppress(OSError):  # not empty
                    os.rmdir(folder)


def _holder(file):
    file.seek(0)
    try:
        return "process {process} on {host} since {since}".format(**json.loads(file.read()))
    except (ValueError, KeyError, TypeError):
        return "another process"
