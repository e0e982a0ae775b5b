"""Atomic writing of files, and JSON files with errors that name the file."""

import contextlib
import errno
import glob
import json
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from typing import Any

_TEMPORARY = ".tmp-"


@contextlib.contextmanager
def whole_file(path: str) -> Iterator[str]:
    """Context manager for writing a file atomically.

    Yields the path of a temporary file in the same folder, which replaces `path` on exit and is
    removed on errors. Missing folders are created. Temporary files of `path` that killed processes
    of this machine left are removed.

    Raises:
        IsADirectoryError: `path` is a folder.
    """
    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    temporary = temporary_path(path)
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        # Errors of writing, such as a full disk, do not name the file.
        if error.filename is None and error.errno is not None:
            error.filename = os.fspath(path)
        raise
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)


def temporary_path(path: str) -> str:
    """Path for writing `path` by this process; removes what killed processes of this machine left.

    It may become a file or a folder.
    """
    for left in glob.glob(f"{glob.escape(os.fspath(path))}{_TEMPORARY}*"):
        process = left.rpartition(_TEMPORARY)[2]
        if not process.isdecimal() or _is_running(int(process)):
            continue
        if os.path.isdir(left):
            shutil.rmtree(left, ignore_errors=True)
        else:
            with contextlib.suppress(FileNotFoundError):  # removed by another process
                os.remove(left)
    return f"{path}{_TEMPORARY}{os.getpid()}"


def _is_running(process):
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it runs, as another user
        pass
    return True


def remove_temporary_files(folder: str, suffixes: Sequence[str]) -> None:
    """Removes temporary files of `whole_file` in `folder` that killed processes left.

    Only those of files with one of the `suffixes`, since others may be somebody else's.
    """
    for path in pathlib.Path(folder).glob(f"*{_TEMPORARY}*"):
        name, _, process = path.name.rpartition(_TEMPORARY)
        if process.isdecimal() and name.endswith(tuple(suffixes)):
            path.unlink()


def write_bytes(path: str, content: bytes) -> None:
    """Writes bytes atomically."""
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        file.write(content)


def write_text(path: str, text: str) -> None:
    """Writes text in UTF-8 atomically."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str, value: Any, *, indent: int | None = 1) -> None:
    """Writes `value` as JSON atomically; `indent=None` writes a single line."""
    write_text(path, json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str, *, object_pairs_hook: Callable | None = None) -> Any:
    """Reads a JSON file.

    Args:
        path: path of the file.
        object_pairs_hook: as in `json.load`.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is not valid JSON; the message names the file and the position.
    """
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path}: no such file")
    # Some editors begin a file with a byte order mark.
    with open(path, encoding="utf-8-sig") as file:
        try:
            return json.load(file, object_pairs_hook=object_pairs_hook)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}: not valid JSON: {error}") from error
