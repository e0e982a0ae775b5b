"""Validation of JSON fields.

Invalid fields raise a `ValueError` that names the field, such as `clip.end: expected an integer,
got 'x'`; `errors_in` adds the file and the record. Unknown fields are ignored.
"""

import contextlib
import reprlib
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

# Nine hours of video at 30 fps; larger numbers are invalid and would exhaust memory.
MAX_NUMBER = 1_000_000


class JsonObject(dict):
    """A dictionary for JSON objects that records repeated keys.

    Use it as `object_pairs_hook` of `json.loads` and of `gkcmn_tf.files.read_json`.

    Example:
        >>> import json
        >>> from gkcmn_tf.json_fields import JsonObject
        >>> json.loads('{"a": 1, "b": 2, "a": 3}', object_pairs_hook=JsonObject).repeated_keys
        ['a']

    Args:
        pairs: keys and values, in the order of the file.
    """

    def __init__(self, pairs: Sequence[tuple[str, Any]]):
        super().__init__(pairs)
        self._all_pairs = pairs if len(self) < len(pairs) else None

    @property
    def pairs(self) -> list[tuple[str, Any]]:
        """Keys and values in the order of the file, including repeated keys."""
        return list(self.items()) if self._all_pairs is None else list(self._all_pairs)

    @property
    def repeated_keys(self) -> list[str]:
        """The keys that occur more than once."""
        return [key for key, n in Counter(key for key, _ in self._all_pairs or ()).items() if n > 1]


@contextlib.contextmanager
def errors_in(place: str) -> Iterator[None]:
    """Prefixes the message of a `ValueError` with `place`, such as the file and the record."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error


def get(fields: Any, *path: str) -> Any:
    """Returns `fields[path[0]][path[1]]...`, or None if a key is missing."""
    value = fields
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def is_number(value: Any, *, most: float = MAX_NUMBER) -> bool:
    """Whether `value` is a finite number in `[-most, most]`; booleans are not numbers."""
    return type(value) in (int, float) and abs(value) <= most


def is_integer(value: Any) -> bool:
    """Whether `value` is an integer in `[-MAX_NUMBER, MAX_NUMBER]`; booleans are not integers."""
    return type(value) is int and abs(value) <= MAX_NUMBER


def is_text(value: Any) -> bool:
    """Whether `value` is a non-empty string that can be encoded as UTF-8."""
    # Lone surrogates come from JSON escapes and from undecodable bytes.
    return (
        isinstance(value, str) and value != "" and not any("\ud800" <= c <= "\udfff" for c in value)
    )


def is_box(box: Any, *, most: float = MAX_NUMBER) -> bool:
    """Whether `box` is `[x1, y1, x2, y2]` with `x1 <= x2`, `y1 <= y2` and numbers up to `most`."""
    return (
        type(box) is list
        and len(box) == 4
        and all(is_number(side, most=most) for side in box)
        and box[0] <= box[2]
        and box[1] <= box[3]
    )


def json_object(fields: Any, *path: str) -> JsonObject:
    """Returns a `JsonObject` with unique keys; `fields` itself without `path`."""
    value = get(fields, *path)
    if not isinstance(value, JsonObject):
        raise _unexpected(fields, path, "an object")
    if value.repeated_keys:
        raise ValueError(f"{_prefix(path)}key {value.repeated_keys[0]!r} occurs twice")
    return value


def json_list(fields: Any, *path: str) -> list:
    """Returns a list; `fields` itself without `path`."""
    value = get(fields, *path)
    if not isinstance(value, list):
        raise _unexpected(fields, path, "a list")
    return value


def integer(fields: Any, *path: str, at_least: int | None = 0) -> int:
    """Returns an integer in `[at_least, MAX_NUMBER]`; None stands for `-MAX_NUMBER`."""
    value = get(fields, *path)
    if is_integer(value) and (at_least is None or value >= at_least):
        return value
    bounds = [] if at_least is None else [f"at least {at_least}"]
    if type(value) is int and abs(value) > MAX_NUMBER:
        bounds.append(f"at most {MAX_NUMBER}")
    of_size = f" of {' and '.join(bounds)}" if bounds else ""
    raise _unexpected(fields, path, f"an integer{of_size}")


def number(fields: Any, *path: str) -> float:
    """Returns a finite number."""
    value = get(fields, *path)
    if not is_number(value, most=sys.float_info.max):
        raise _unexpected(fields, path, "a finite number")
    return value


def positive_number(fields: Any, *path: str) -> float:
    """Returns a number in `(0, MAX_NUMBER]`."""
    value = get(fields, *path)
    if not is_number(value) or value <= 0:
        raise _unexpected(fields, path, "a positive number")
    return float(value)


def text(fields: Any, *path: str, meaning: str = "a string") -> str:
    """Returns a non-empty string; `meaning` describes it in the error message."""
    value = get(fields, *path)
    if not is_text(value):
        raise _unexpected(fields, path, meaning)
    return value


def choice(fields: Any, *path: str, choices: Sequence[str], default: str | None = None) -> str:
    """Returns one of `choices`; a missing field has the value `default`, if given."""
    if default is not None and _is_missing(fields, path):
        return default
    value = get(fields, *path)
    if value not in choices:
        raise _unexpected(fields, path, f"one of {' | '.join(choices)}")
    return value


def _is_missing(fields, path):
    parent = get(fields, *path[:-1])
    return bool(path) and not (isinstance(parent, dict) and path[-1] in parent)


def _prefix(path):
    return f"{'.'.join(path)}: " if path else ""


def _unexpected(fields, path, expected):
    got = reprlib.repr(get(fields, *path))
    if _is_missing(fields, path):
        return ValueError(f"{_prefix(path)}missing field; expected {expected}")
    return ValueError(f"{_prefix(path)}expected {expected}, got {got}")
