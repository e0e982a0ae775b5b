"""BUILD declares every source file once, by what it is, with just the files that it imports."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
FOLDERS = ("gkcmn_tf", "data", "export", "benchmarks", "tests")
RUNNER = "tests/run_pytest.py"  # the one file in several targets: the main of every py_test
RULES = ("py_library", "py_binary", "py_test")

SOURCES = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in FOLDERS
    for path in (ROOT / folder).rglob("*.py")
)


def read_targets():
    """`(rule, attributes)` of each target; attributes that are not literals are left out."""
    targets = []
    for statement in ast.parse((ROOT / "BUILD").read_text(encoding="utf-8")).body:
        call = statement.value
        if isinstance(call, ast.Call) and call.func.id in RULES:
            literal = (ast.List, ast.Constant)
            attributes = {
                keyword.arg: ast.literal_eval(keyword.value)
                for keyword in call.keywords
                if isinstance(keyword.value, literal)
            }
            targets.append((call.func.id, attributes))
    return targets


TARGETS = read_targets()
OWNERS = {
    source: f":{attributes['name']}"
    for _, attributes in TARGETS
    for source in attributes["srcs"]
    if source != RUNNER
}


def file_of(module):
    """The project's file that holds a module, None for other modules."""
    stem = module.replace(".", "/")
    return next((f for f in (f"{stem}.py", f"{stem}/__init__.py") if f in SOURCES), None)


def imported_modules(tree):
    """All modules that a file imports, or names in a string, as for `python -m`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from names
            # A package comes with each of its modules.
            if not any(map(file_of, names)):
                yield node.module
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value:
            yield node.value


def needed_files(source):
    """The project's files that must be there for `source` to run."""
    tree = ast.parse((ROOT / source).read_text(encoding="utf-8"))
    files = {file_of(module) for module in imported_modules(tree)}
    folders = [folder.as_posix() for folder in pathlib.PurePath(source).parents]
    # The file's own packages; for tests, what pytest reads in the folders above.
    implicit = "conftest.py" if source.startswith("tests/") else "__init__.py"
    files |= {f"{folder}/{implicit}" for folder in folders} & set(SOURCES)
    return files - {None, source}


@pytest.mark.parametrize("source", [source for source in SOURCES if source != RUNNER])
def test_a_file_is_in_one_target_of_the_right_kind(source):
    owners = [(rule, a) for rule, a in TARGETS if source in a["srcs"]]
    assert len(owners) == 1, f"{source} is in {len(owners)} targets of BUILD, expected one"
    rule, attributes = owners[0]
    name = pathlib.PurePath(source).name
    if name.startswith("test_"):
        assert (rule, attributes["main"], attributes["args"]) == ("py_test", RUNNER, [source])
    elif 'if __name__ == "__main__":' in (ROOT / source).read_text(encoding="utf-8"):
        assert rule == "py_binary"
    else:
        assert rule == "py_library"


def test_no_target_names_a_file_that_is_not_there():
    named = {source for _, attributes in TARGETS for source in attributes["srcs"]}
    assert named == set(SOURCES)


def test_names_of_targets_differ():
    names = [attributes["name"] for _, attributes in TARGETS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("attributes", [a for _, a in TARGETS], ids=lambda a: a["name"])
def test_deps_are_the_imports(attributes):
    sources = [source for source in attributes["srcs"] if source != RUNNER]
    needed = set().union(*(needed_files(source) for source in sources))
    declared = attributes.get("deps", [])
    assert sorted(declared) == sorted(OWNERS[file] for file in needed)
