"""Inputs of fuzz tests: valid files with a few edits, and bytes; no tests.

Structured inputs are JSON values with some entries replaced, removed, repeated or nested; bytes are
those of a valid file, cut, overwritten, repeated, or with other numbers in them.
"""

import copy
import json
import re

from hypothesis import strategies as st

NESTING = 3000
DIGITS = 5000


ODD_BYTES = list(b'\0\xff\xe9\xd8{}[]",:.-0\n\t# ')


class Nested:
    """A JSON value inside of many lists."""


class Huge:
    """An integer with more digits than Python converts."""


class Twice(dict):
    """An object of which every key occurs twice."""


SCALARS = st.sampled_from(
    [
        *(None, True, False, 0, 1, -1, 2, 7, 255, 10**6, 10**6 + 1, 2**31 - 1, 2**31, 2**63, 2**64),
        *(-(2**63), Huge(), 0.5, -0.0, 1e-300, 1e19, 1e35, 1e308, float("nan"), float("inf")),
        *(
            "",
            " ",
            "a",
            "1",
            "-1",
            "1e400",
            "nan",
            "a\0b",
            "\ud800",
            "\xad",
            "…",
            "...",
            "😀\ufe0f",
        ),
        *("..", "../../a", "/", "a/b", "a//b", "./a", "12:30:05.mp4", "a*[?]", "word " * 400),
        *("declarative", "seconds", "frames", "float16", "int8", "GKCMN", "bm", "a" * 300),
    ]
)
VALUES = st.recursive(
    SCALARS | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=10,
)
NUMBER = re.compile(rb"-?\d+(\.\d+)?")
NUMBERS = st.sampled_from(
    [
        b"0",
        b"-1",
        b"1e400",
        b"1e35",
        b"NaN",
        b"Infinity",
        b"1000000",
        b"99999999999",
        b"0.5",
        b"1_0",
    ]
)


def to_text(value) -> str:
    """JSON, also of `Nested`, `Huge`, `Twice` and numbers that JSON does not have."""
    if isinstance(value, Nested):
        return "[" * NESTING + "]" * NESTING
    if isinstance(value, Huge):
        return "1" * DIGITS
    if isinstance(value, dict):
        pairs = [f"{json.dumps(str(key))}: {to_text(item)}" for key, item in value.items()]
        return "{" + ", ".join(pairs * (1 + isinstance(value, Twice))) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(to_text, value)) + "]"
    return json.dumps(value)


def _places(value, found):
    """Adds each container of a JSON value, with its keys or indices, to `found`."""
    if isinstance(value, dict) and value:
        found.append((value, list(value)))
    elif isinstance(value, list) and value:
        found.append((value, list(range(len(value)))))
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, (dict, list)):
            _places(item, found)
    return found


@st.composite
def edited(draw, value):
    """A JSON value with one to four edits."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 4))):
        places = _places(value, [])
        if not places:
            break
        container, keys = draw(st.sampled_from(places))
        key = draw(st.sampled_from(keys))
        kind = draw(st.sampled_from(["value", "value", "value", "remove", "copy", "nest", "twice"]))
        if kind == "value":
            container[key] = draw(VALUES)
        elif kind == "remove":
            del container[key]
        elif kind == "copy":
            other, others = draw(st.sampled_from(places))
            chosen = draw(st.sampled_from(others))
            if isinstance(other, dict) and chosen not in other:
                continue
            if isinstance(other, list) and chosen >= len(other):
                continue
            container[key] = copy.deepcopy(other[chosen])
        elif kind == "nest":
            container[key] = Nested()
        elif isinstance(container[key], dict):
            container[key] = Twice(container[key])
    return value


@st.composite
def mutated(draw, content: bytes):
    """The bytes of a valid file with one to four changes."""
    for _ in range(draw(st.integers(1, 4))):
        at, end = sorted(draw(st.tuples(*[st.integers(0, len(content))] * 2)))
        kind = draw(
            st.sampled_from(["cut", "byte", "byte", "remove", "repeat", "insert", "number"])
        )
        if kind == "cut":
            content = content[:at]
        elif kind == "byte" and at < len(content):
            byte = draw(
                st.sampled_from(list(b'\0\xff\xe9\xd8{}[]",:.-0\n\t# ')) | st.integers(0, 255)
            )
            content = content[:at] + bytes([byte]) + content[at + 1 :]
        elif kind == "remove":
            content = content[:at] + content[end:]
        elif kind == "repeat":
            content = content[:at] + content[at:end] * 3 + content[end:]
        elif kind == "insert":
            content = content[:at] + draw(st.binary(max_size=20)) + content[at:]
        elif numbers := list(NUMBER.finditer(content)):
            found = numbers[draw(st.integers(0, len(numbers) - 1))]
            content = content[: found.start()] + draw(NUMBERS) + content[found.end() :]
    return content
