"""Files that are written whole or not at all, and JSON with errors that name the file."""

import contextlib
import json
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

_TEMPORARY = ".tmp-"


@contextlib.contextmanager
def whole_file(path: str) -> Iterator[str]:
    """Yields a temporary name beside `path`, renamed to `path` at the end, removed on an error.

    So `path` is never half a file. Its folder is made if it is not there.
    """
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    temporary = f"{path}{_TEMPORARY}{os.getpid()}"
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)


def remove_temporary_files(folder: str) -> None:
    """Removes what `whole_file` left below `folder` in processes that were killed."""
    for path in pathlib.Path(folder).rglob(f"*{_TEMPORARY}*"):
        path.unlink()


def write_bytes(path: str, content: bytes) -> None:
    """Writes `content`, whole or not at all."""
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        file.write(content)


def write_text(path: str, text: str) -> None:
    """Writes `text` in UTF-8, whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str, value: Any, *, indent: int | None = 1) -> None:
    """Writes `value` as JSON, whole or not at all; `indent=None` is quick, all on one line."""
    write_text(path, json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str, *, object_pairs_hook: Callable | None = None) -> Any:
    """Reads JSON; `FileNotFoundError` or `ValueError` name the file and the place.

    `object_pairs_hook` makes what stands for an object of its list of fields, as in `json.load`.
    """
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path}: no such file")
    with open(path, encoding="utf-8") as file:
        try:
            return json.load(file, object_pairs_hook=object_pairs_hook)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}: not valid JSON: {error}") from error
