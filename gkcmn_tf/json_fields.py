"""Fields of others' JSON, checked: what is not as expected is a `ValueError` that says so."""

from typing import Any

# Nine hours of video at 30 frames a second: a larger number is damage, and would fill memory.
MAX_NUMBER = 1_000_000


def get(fields: Any, *path: str) -> Any:
    """`fields[path[0]][path[1]]...`, None where something on the way is not there."""
    value = fields
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def is_number(value: Any) -> bool:
    """Whether it is a finite number of believable size; True and False are none."""
    return type(value) in (int, float) and abs(value) <= MAX_NUMBER


def is_integer(value: Any) -> bool:
    """Whether it is an integer of believable size; True and False are none."""
    return type(value) is int and abs(value) <= MAX_NUMBER


def integer(fields: Any, *path: str, at_least: int = 0) -> int:
    """An integer from `at_least` to `MAX_NUMBER`."""
    value = get(fields, *path)
    if not is_integer(value) or value < at_least:
        most = f" and at most {MAX_NUMBER}" if type(value) is int and value > MAX_NUMBER else ""
        raise ValueError(
            f"{'.'.join(path)}: expected an integer of at least {at_least}{most}, got {value!r}"
        )
    return value


def positive_number(fields: Any, *path: str) -> float:
    """A number above 0."""
    value = get(fields, *path)
    if not is_number(value) or value <= 0:
        raise ValueError(f"{'.'.join(path)}: expected a positive number, got {value!r}")
    return float(value)


def is_text(value: Any) -> bool:
    """Whether it is a string, not empty, that can be written as UTF-8."""
    # Half a surrogate pair: JSON can escape one, and undecodable bytes are read as such.
    return (
        isinstance(value, str) and value != "" and not any("\ud800" <= c <= "\udfff" for c in value)
    )


def is_box(box: Any) -> bool:
    """Whether it is `[x1, y1, x2, y2]` with `x1 <= x2` and `y1 <= y2`."""
    numbers = isinstance(box, list) and len(box) == 4 and all(map(is_number, box))
    return numbers and box[0] <= box[2] and box[1] <= box[3]
