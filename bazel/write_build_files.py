"""Writes a Bazel `BUILD` file into every folder with Python sources.

Example:
    make build-files

There is one target per source file, named after the file, or after the folder for `__init__.py`.
Dependencies are the modules that the file imports or names in strings (as for `python -m`). Data
are the files that it names by a path in the repository or by a name in its own package.
Third-party packages are those of requirements.txt, installed in the Python that Bazel uses.
"""

import ast
import fnmatch
import os
import pathlib
import re
from collections.abc import Iterable, Iterator
from pathlib import PurePath
from typing import NamedTuple

ROOT = pathlib.Path(__file__).parents[1]
HEADER = '''"""Targets of this folder, written by `make build-files`."""

package(default_visibility = ["//:__subpackages__"])
'''


class Label(NamedTuple):
    """Label of a target or a file."""

    package: PurePath
    name: str

    def seen_from(self, package: PurePath) -> str:
        """Returns the label as written in the `BUILD` file of the folder `package`."""
        if self.package == package:
            return f":{self.name}"
        folder = "" if self.package == PurePath() else self.package.as_posix()
        return f"//{folder}" if self.name == self.package.name else f"//{folder}:{self.name}"


RUNNER = Label(PurePath("bazel"), "run_module.py")
CHECK = PurePath("tests/test_build.py")  # reads all files


class BuildFiles:
    """The `BUILD` files of a repository.

    Args:
        root: root folder of the repository. Hidden and git-ignored folders are excluded.
    """

    def __init__(self, root: pathlib.Path):
        files = sorted(_walk(root))
        self._trees = {
            file: ast.parse((root / file).read_text(encoding="utf-8"))
            for file in files
            if file.suffix == ".py"
        }
        self._packages = sorted({PurePath()} | {source.parent for source in self._trees})
        self._imports = {source: set(self._imported(source)) for source in self._trees}
        self._uses = {s: self._imports[s] | set(self._named(s)) for s in self._trees}
        self._labels = dict(self._data_labels(set(files) - set(self._trees)))
        self._data = {source: self._data_of(source) for source in self._trees}

    def texts(self) -> dict[str, str]:
        """Returns the content of each `BUILD` file by its path relative to the root."""
        return {(p / "BUILD").as_posix(): self._text(p) for p in self._packages}

    def _data_labels(self, files):
        """Yields paths and labels of data files, and of folders that contain only data files."""
        for file in files:
            package = next(folder for folder in file.parents if folder in self._packages)
            first, *below = file.relative_to(package).parts
            for path in (file, *file.parents):
                if package in path.parents:
                    yield path, Label(package, f"{first}_files" if below else first)

    def _file_of(self, module):
        if not all(map(str.isidentifier, module.split("."))):
            return None
        stem = module.replace(".", "/")
        paths = (PurePath(f"{stem}.py"), PurePath(stem, "__init__.py"))
        return next((path for path in paths if path in self._trees), None)

    def _imported(self, source):
        """Yields the source files that a source file imports."""
        for node in _nodes_at_run_time(self._trees[source]):
            modules = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                # Level 1 is the file's own folder, level 2 its parent, and so on.
                above = source.parents[node.level - 1].parts if node.level else ()
                package = ".".join([*above, *([node.module] if node.module else [])])
                names = [f"{package}.{alias.name}" for alias in node.names]
                modules = [name if self._file_of(name) else package for name in names]
            yield from filter(None, map(self._file_of, modules))

    def _named(self, source):
        """Yields the source files named in strings, except those that import this file."""
        nodes = _nodes_at_run_time(self._trees[source])
        texts = (str(node.value) for node in nodes if isinstance(node, ast.Constant))
        for file in filter(None, (self._file_of(text) for text in texts if "." in text)):
            reached, new = set(), {file}
            while new:
                reached |= new
                new = set().union(*(self._imports[f] for f in new)) - reached
            if source not in reached:
                yield file

    def _needed(self, source):
        """Returns the source files that a source file needs at run time."""
        packages = {folder / "__init__.py" for folder in source.parents}
        # A package that imports its own modules would create a cycle; they run without it.
        implicit = {file for file in packages & self._trees.keys() if not self._uses[file]}
        if _is_test(source):
            implicit |= {folder / "conftest.py" for folder in source.parents} & self._trees.keys()
        return (self._uses[source] | implicit) - {source}

    def _data_of(self, source):
        """Returns the labels of the data files that a source file reads."""
        if source == CHECK:
            return {Label(package, "all_files") for package in self._packages}
        *package_folders, _ = source.parents
        tree = self._trees[source]
        paths = {folder / path for path in set(_paths(tree)) for folder in source.parents}
        paths |= {folder / text for text in set(_strings(tree)) for folder in package_folders}
        if _is_test(source):
            paths.add(PurePath("pyproject.toml"))
        if source.name == "__init__.py":
            paths.add(source.with_name("py.typed"))
        return {self._labels[path] for path in paths & self._labels.keys()}

    def _text(self, package):
        sources = [source for source in self._trees if source.parent == package]
        data = {label for label in self._labels.values() if label.package == package}
        files = {label for label in data if package / label.name in self._labels}
        read_elsewhere = {RUNNER}.union(*(self._data[s] for s in self._trees if s not in sources))
        exported = [
            label.name for label in read_elsewhere & {RUNNER, *files} if label.package == package
        ]
        read = set().union(*self._data.values())
        folders = sorted(label.name.removesuffix("_files") for label in (data - files) & read)

        blocks = [HEADER]
        if exported:
            blocks.append(f"exports_files({_list(exported)})\n")
        for folder in folders:
            blocks.append(
                _rule("filegroup", name=_quoted(f"{folder}_files"), srcs=_glob([f"{folder}/**"]))
            )
        everything = _glob(["*", *(f"{folder}/**" for folder in folders)])
        blocks.append(_rule("filegroup", name='"all_files"', srcs=everything))
        return "\n".join(blocks + [self._target(source) for source in sources])

    def _target(self, source):
        package, tree = source.parent, self._trees[source]
        attributes = {
            "name": _quoted(_target(source).name),
            "srcs": _list([source.name]),
            "data": _list(label.seen_from(package) for label in self._data[source]),
            "deps": _list(_target(file).seen_from(package) for file in self._needed(source)),
        }
        if not (_is_test(source) or _is_program(tree)):
            return _rule("py_library", **attributes)
        runner = RUNNER.seen_from(package).removeprefix(":")
        module = ".".join(source.with_suffix("").parts)
        return _rule(
            "py_test" if _is_test(source) else "py_binary",
            size='"large"' if _is_slow(tree) else "",
            args=_list(["pytest", source.as_posix()] if _is_test(source) else [module]),
            legacy_create_init="0",  # no generated `__init__.py` files
            main=_quoted(runner),
            **attributes | {"srcs": _list({source.name, runner})},
        )


def _walk(root) -> Iterator[PurePath]:
    lines = (root / ".gitignore").read_text(encoding="utf-8").splitlines()
    ignored = ["BUILD", ".*", *(line.strip("/") for line in lines if line)]
    for folder, folders, files in os.walk(root):
        for names in (folders, files):
            names[:] = [n for n in names if not any(fnmatch.fnmatch(n, p) for p in ignored)]
        yield from (PurePath(folder, name).relative_to(root) for name in files)


def _target(source) -> Label:
    is_package = source.name == "__init__.py"
    return Label(source.parent, source.parent.name if is_package else source.stem)


def _is_test(source):
    return source.name.startswith("test_")


def _is_slow(tree):
    attributes = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    return any(ast.unparse(node) == "pytest.mark.slow" for node in attributes)


def _is_program(tree):
    conditions = (node.test for node in tree.body if isinstance(node, ast.If))
    return any(ast.unparse(test) == "__name__ == '__main__'" for test in conditions)


def _nodes_at_run_time(tree) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")):
            yield node
            yield from _nodes_at_run_time(node)


def _strings(tree) -> Iterator[str]:
    """Yields the strings of a source file, except dictionary keys and subscripts."""
    keys = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript):
            keys.add(node.slice)
        elif isinstance(node, ast.Dict):
            keys.update(node.keys)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in keys:
            yield node.value


def _paths(tree) -> Iterator[str]:
    """Yields possible paths in the repository: strings with slashes, or `ROOT / "folder"`."""
    for text in _strings(tree):
        yield from re.findall(r"[\w.-]+(?:/[\w.-]+)+", text)
    for node in ast.walk(tree):
        names, start = [], node
        while isinstance(start, ast.BinOp) and isinstance(start.op, ast.Div):
            is_name = isinstance(start.right, ast.Constant) and isinstance(start.right.value, str)
            names = [start.right.value, *names] if is_name else []
            start = start.left
        if names and _is_constant_path(start):
            yield "/".join(names)


def _is_constant_path(node):
    """Whether a path is relative to a constant or `__file__`; others are created at run time."""
    names = {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}
    return "__file__" in names or any(map(str.isupper, names))


def _quoted(text: str) -> str:
    return f'"{text}"'


def _list(texts: Iterable[str]) -> str:
    """Formats a list in buildifier's order and layout; "" for an empty list."""

    def key(text):
        phase = 1 if text.startswith(":") else 2 if text.startswith("//") else 0
        return phase, text.replace(":", ".").split(".")

    quoted = [_quoted(text) for text in sorted(texts, key=key)]
    if len(quoted) < 2:
        return f"[{quoted[0]}]" if quoted else ""
    return "[\n" + "".join(f"        {text},\n" for text in quoted) + "    ]"


def _glob(patterns: Iterable[str]) -> str:
    return f"glob({_list(patterns)})"


def _rule(kind: str, **attributes: str) -> str:
    """Formats a rule with its non-empty attributes in buildifier's order."""
    order = ("name", "size", "srcs", "args", "data", "legacy_create_init", "main", "deps")
    lines = [f"    {name} = {attributes[name]},\n" for name in order if attributes.get(name)]
    return f"{kind}(\n{''.join(lines)})\n"


if __name__ == "__main__":
    for path, text in BuildFiles(ROOT).texts().items():
        (ROOT / path).write_text(text, encoding="utf-8")
