"""Every message in docs/troubleshooting.md is one that the code has."""

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
LINES = [line for line in TEXT.splitlines() if line.startswith("**`")]
MESSAGES = [message for line in LINES for message in re.findall(r"\*\*`(.*?)`\*\*", line)]
ANYTHING = "…"


def shape(node):
    """A text as in the page: `…` in place of values, in an f-string or a message of a log."""
    if isinstance(node, ast.Constant):
        return re.sub(r"%[rsd]", ANYTHING, node.value)
    return "".join(
        part.value if isinstance(part, ast.Constant) else ANYTHING for part in node.values
    )


@pytest.fixture(scope="module")
def messages():
    """The texts of the source, with their white space collapsed."""
    found = set()
    for folder in ("gkcmn_tf", "data", "export"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr) or (
                    isinstance(node, ast.Constant) and isinstance(node.value, str)
                ):
                    found.add(" ".join(shape(node).split()))
    return found


@pytest.mark.parametrize("message", MESSAGES)
def test_the_code_has_the_message(message, messages):
    wanted = message.strip(f"{ANYTHING} ")
    assert any(wanted in text for text in messages)


def test_there_are_messages():
    assert len(MESSAGES) > 30
