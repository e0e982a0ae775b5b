"""The examples in docstrings run, and every public class has one."""

import ast
import doctest
import importlib
import pathlib

import pytest

import gkcmn_tf

PACKAGE = pathlib.Path(gkcmn_tf.__file__).parent
SOURCES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
WITH_EXAMPLES = [name for name, path in SOURCES.items() if ">>>" in path.read_text("utf-8")]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_have_the_documented_output(name):
    module = importlib.import_module(name.removesuffix(".__init__"))
    failed, attempted = doctest.testmod(module)
    assert attempted > 0
    assert failed == 0


def layers_and_models():
    for name, path in SOURCES.items():
        if not name.startswith("gkcmn_tf.modeling."):
            continue
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield pytest.param(ast.get_docstring(node), id=node.name)


@pytest.mark.parametrize("docstring", list(layers_and_models()))
def test_layers_and_models_have_an_example_and_shapes(docstring):
    assert "\nExample:\n    >>> " in docstring
    assert "`[B, " in docstring


def classes_without_an_example():
    """Yields the public classes without an example; exception classes do not need one."""
    for name, path in SOURCES.items():
        for node in ast.parse(path.read_text("utf-8")).body:
            if not isinstance(node, ast.ClassDef) or node.name.startswith("_"):
                continue
            if "\nExample:\n    >>> " not in (ast.get_docstring(node) or ""):
                value = getattr(importlib.import_module(name), node.name)
                if not issubclass(value, Exception):
                    yield f"{name}.{node.name}"


def test_every_public_class_has_an_example():
    assert list(classes_without_an_example()) == []
