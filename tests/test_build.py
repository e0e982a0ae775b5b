"""The BUILD files: each source file is in one target of its folder, with exactly its imports."""

import ast
import graphlib
import importlib.util
import pathlib
import re
from typing import NamedTuple

import pytest

from bazel.write_build_files import BuildFiles

ROOT = pathlib.Path(__file__).parents[1]
RUNNER = "bazel/run_module.py"  # the only file in several targets: main of programs and tests
RULES = ("py_library", "py_binary", "py_test")
FOLDERS = sorted({path.parent for path in ROOT.glob("[!.]*/*.py")})


def below(folders, pattern):
    """Returns the files that match a pattern, relative to the root."""
    files = (path for folder in folders for path in folder.rglob(pattern) if path.is_file())
    return sorted(path.relative_to(ROOT).as_posix() for path in files)


SOURCES = below(FOLDERS, "*.py") + sorted(path.name for path in ROOT.glob("*.py"))
BUILD_FILES = ["BUILD", *below(FOLDERS, "BUILD")]


class Target(NamedTuple):
    label: str
    rule: str
    attributes: dict

    @property
    def sources(self):
        return [path_of(label) for label in self.labels("srcs")]

    def labels(self, attribute):
        package = self.label[2:].split(":")[0]
        return [absolute(label, package) for label in self.attributes.get(attribute, [])]


def absolute(label, package):
    """A label in the form `//package:name`."""
    if not label.startswith("//"):
        return f"//{package}:{label.removeprefix(':')}"
    return label if ":" in label else f"{label}:{label.rsplit('/', 1)[-1]}"


def path_of(label):
    return label[2:].replace(":", "/").lstrip("/")


def read_calls():
    """Yields package, function and literal attributes of each call."""
    for path in BUILD_FILES:
        package = path.removesuffix("BUILD").removesuffix("/")
        for statement in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
            call = statement.value
            if isinstance(call, ast.Call):
                values = [("files", v) for v in call.args] + [
                    (k.arg, k.value) for k in call.keywords
                ]
                literals = [(k, v) for k, v in values if isinstance(v, ast.List | ast.Constant)]
                attributes = {name: ast.literal_eval(value) for name, value in literals}
                yield package, call.func.id, attributes


CALLS = list(read_calls())
TARGETS = [
    Target(f"//{package}:{attributes['name']}", rule, attributes)
    for package, rule, attributes in CALLS
    if "name" in attributes
]
PYTHON_TARGETS = [target for target in TARGETS if target.rule in RULES]
OWNERS = {
    source: target.label
    for target in PYTHON_TARGETS
    for source in target.sources
    if source != RUNNER or target.label == "//bazel:run_module"
}


def file_of(module):
    """Returns the project's file of a module, None for other modules."""
    stem = module.replace(".", "/")
    return next((f for f in (f"{stem}.py", f"{stem}/__init__.py") if f in SOURCES), None)


class Uses(ast.NodeVisitor):
    """Modules imported by a file at run time, and its strings with a dot."""

    def __init__(self, source):
        self.imported, self.strings = set(), set()
        self.package = pathlib.PurePath(source).parent.as_posix().replace("/", ".")
        self.visit(ast.parse((ROOT / source).read_text(encoding="utf-8")))

    def visit_If(self, node):
        if "TYPE_CHECKING" not in ast.dump(node.test):
            self.generic_visit(node)

    def visit_Import(self, node):
        self.imported |= {alias.name for alias in node.names}

    def visit_ImportFrom(self, node):
        base = importlib.util.resolve_name("." * node.level + (node.module or ""), self.package)
        # Either a module of a package or a name in the package's `__init__`.
        names = [f"{base}.{alias.name}" for alias in node.names]
        self.imported |= {name if file_of(name) else base for name in names}

    def visit_Constant(self, node):
        if isinstance(node.value, str) and "." in node.value:
            self.strings.add(node.value)


USES = {source: Uses(source) for source in SOURCES}
IMPORTS = {source: set(map(file_of, USES[source].imported)) - {None} for source in SOURCES}


def is_reached(source, start):
    """Whether `start` imports `source`, directly or indirectly."""
    seen, waiting = set(), [start]
    while waiting:
        file = waiting.pop()
        if file not in seen:
            seen.add(file)
            waiting += IMPORTS[file]
    return source in seen


def used_files(source):
    """Returns the project's files that a file imports or names in a string, as for `python -m`."""
    named = set(map(file_of, USES[source].strings)) - {None}
    # Strings that name modules which import this file are not dependencies.
    return IMPORTS[source] | {file for file in named if not is_reached(source, file)}


def needed_files(source):
    """Returns the project's files that `source` needs to run."""
    folders = [folder.as_posix() for folder in pathlib.PurePath(source).parents]
    packages = {f"{folder}/__init__.py" for folder in folders} & set(SOURCES)
    # The packages of the file, unless they import modules, which would create a cycle.
    files = used_files(source) | {file for file in packages if not used_files(file)}
    if pathlib.PurePath(source).name.startswith("test_"):
        files |= {f"{folder}/conftest.py" for folder in folders} & set(SOURCES)
    return files - {source}


def test_build_files_are_up_to_date():
    written = {path: (ROOT / path).read_text(encoding="utf-8") for path in BUILD_FILES}
    texts = BuildFiles(ROOT).texts()
    paths = sorted(texts.keys() | written.keys())
    stale = [path for path in paths if texts.get(path) != written.get(path)]
    assert not stale, f"run `make build-files`, and remove BUILD files without sources: {stale}"


@pytest.mark.parametrize("source", [source for source in SOURCES if source != RUNNER])
def test_a_file_is_in_one_target_of_the_right_kind(source):
    path = pathlib.PurePath(source)
    owners = [target for target in PYTHON_TARGETS if source in target.sources]
    assert len(owners) == 1, f"{source} is in {len(owners)} targets, expected one"
    (target,) = owners
    package, name = path_of(target.label).rpartition("/")[::2]
    assert package == path.parent.as_posix()
    assert name == (path.parent.name if path.name == "__init__.py" else path.stem)
    if path.name.startswith("test_"):
        rule, args = "py_test", ["pytest", source]
    elif re.search('^if __name__ == "__main__":', (ROOT / source).read_text("utf-8"), re.MULTILINE):
        rule, args = "py_binary", [".".join(path.with_suffix("").parts)]
    else:
        rule, args = "py_library", None
    assert (target.rule, target.attributes.get("args")) == (rule, args)
    if args:
        assert target.sources.count(RUNNER) == 1
        assert path_of(absolute(target.attributes["main"], package)) == RUNNER
    else:
        assert target.sources == [source]


def test_targets_name_only_existing_files():
    assert {source for target in PYTHON_TARGETS for source in target.sources} == set(SOURCES)
    labels = {label for target in PYTHON_TARGETS for label in target.labels("data")}
    files = labels - {target.label for target in TARGETS}
    assert [label for label in files if not (ROOT / path_of(label)).is_file()] == []


def test_files_of_other_folders_are_exported():
    calls = [(package, a) for package, function, a in CALLS if function == "exports_files"]
    exported = {f"//{package}:{name}" for package, a in calls for name in a["files"]}
    for target in PYTHON_TARGETS:
        labels = {*target.labels("srcs"), *target.labels("data")}
        files = labels - {other.label for other in TARGETS}
        package = target.label.split(":")[0]
        assert {file for file in files if file.split(":")[0] != package} <= exported, target.label


def test_names_of_targets_differ():
    labels = [target.label for target in TARGETS]
    assert len(labels) == len(set(labels))


@pytest.mark.parametrize("target", PYTHON_TARGETS, ids=lambda target: target.label)
def test_deps_match_the_imports(target):
    sources = [source for source in target.sources if OWNERS[source] == target.label]
    needed = set().union(*(needed_files(source) for source in sources))
    assert sorted(target.labels("deps")) == sorted(OWNERS[file] for file in needed)


def test_targets_have_no_cycles():
    graph = {target.label: target.labels("deps") for target in PYTHON_TARGETS}
    graphlib.TopologicalSorter(graph).prepare()


def test_some_target_reads_each_data_file():
    folders = {t.label: f"{path_of(t.label).removesuffix('_files')}/" for t in TARGETS}
    labels = {label for target in PYTHON_TARGETS for label in target.labels("data")}
    read = tuple(folders.get(label, path_of(label)) for label in labels)
    data_folders = [ROOT / name for name in ("configs", "gkcmn_tf", "tests")]
    files = [f for f in below(data_folders, "*") if not f.endswith((".py", ".pyc", "/BUILD"))]
    # Bazel writes the program that starts a test next to its source.
    files = [file for file in files if f"{file}.py" not in SOURCES]
    unread = [file for file in files if not file.startswith(read)]
    assert not unread, "name the file, or its folder, in the source that reads it"


PACKAGE = """
py_library(
    name = "shop",
    srcs = ["__init__.py"],
    data = [":py.typed"],
)

py_library(
    name = "clerk",
    srcs = ["clerk.py"],
    deps = [
        ":menu",
        ":prices",
        ":shop",
    ],
)

py_library(
    name = "menu",
    srcs = ["menu.py"],
    deps = [":shop"],
)

py_binary(
    name = "order",
    srcs = [
        "order.py",
        "//bazel:run_module.py",
    ],
    args = ["shop.order"],
    data = ["//:menus_files"],
    legacy_create_init = 0,
    main = "//bazel:run_module.py",
    deps = [
        ":prices",
        ":shop",
        "//shop/stock",
    ],
)

py_library(
    name = "prices",
    srcs = ["prices.py"],
    data = [
        ":lists_files",
        ":rates.json",
    ],
    deps = [":shop"],
)
"""


def test_dependencies_and_data_of_a_small_repository(tmp_path):
    files = {
        ".gitignore": "/runs/\n",
        "menus/day.yaml": "",
        "runs/old.py": "",
        "shop/__init__.py": "",
        "shop/py.typed": "",
        "shop/rates.json": "",
        "shop/lists/2026/all.csv": "",
        "shop/stock/__init__.py": "from .shelves import Shelf",
        "shop/stock/shelves.py": "from ..prices import price",
        "shop/menu.py": 'if TYPE_CHECKING:\n    from shop import order\nPROGRAMS = ["shop.clerk"]',
        "shop/clerk.py": 'from shop import menu\nSTARTS = {"shop.prices": 1}',
        "shop/prices.py": 'LISTS = pathlib.Path(__file__).parent / "lists"\nRATES = "rates.json"',
        "shop/order.py": "from . import prices, stock\n"
        'MENU = "menus/day.yaml"\nkept["lists"] = 1\nif __name__ == "__main__":\n    main()',
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    texts = BuildFiles(tmp_path).texts()
    assert sorted(texts) == ["BUILD", "shop/BUILD", "shop/stock/BUILD"]
    assert texts["shop/BUILD"].endswith(PACKAGE)
    # `shop.stock` imports its module, which does not need the package.
    assert '"//shop:prices",' in texts["shop/stock/BUILD"]
    assert '":stock",' not in texts["shop/stock/BUILD"]
