"""The examples in docstrings run, and the classes that users build from have one."""

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
def test_examples_give_what_they_show(name):
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


@pytest.mark.parametrize("name", gkcmn_tf.__all__)
def test_public_classes_have_an_example(name):
    value = getattr(gkcmn_tf, name)
    if isinstance(value, type):
        assert "Example:\n" in value.__doc__
