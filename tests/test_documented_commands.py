"""Every command in the documentation is run by a test, or listed with the reason that it is not.

For all of them, the program, its flags and the files of the repository that they name must exist.
"""

import ast
import functools
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
from typing import NamedTuple

import pytest

from gkcmn_tf import cli
from tests.documented_commands import (
    NOT_COMMANDS,
    NOT_RUN,
    PYTHON_RUN_BY,
    PYTHON_RUN_HERE,
    RUN_BY,
    RUN_HERE,
)

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "data" / "shapes").glob("*.md")),
]
SHELL = ("", "bash", "sh")
BLOCK = re.compile(r"^```(?P<language>\S*)\n(?P<content>.*?)^```", re.MULTILINE | re.DOTALL)
PROGRAMS = (
    "dask",
    "docker",
    "gkcmn",
    "make",
    "pre-commit",
    "pytest",
    "python",
    "saved_model_cli",
    "tfds",
)
# What a shell does itself, and what sets up the environment.
SET_UP = re.compile(r"source |python3 -m venv |pip install |pre-commit install")
FOLDERS = ("benchmarks/", "configs/", "data/", "docs/", "export/", "gkcmn_tf/", "tests/")
FLAGS_OF_ALL = {"help", "debug", "verbose", "version"}


class Command(NamedTuple):
    """A command line, without the folder of the environment and comments."""

    page: str
    line: str


def page_name(path):
    return path.relative_to(ROOT).as_posix()


def normalized(line):
    line = re.sub(r"^\$ ", "", " ".join(line.split()))
    return re.sub(r"(^|&& | )\.(venv|core)/bin/", r"\1", line)


def command_lines(block):
    """The commands of a block: one a line, after joining continued lines."""
    if block.startswith("#!"):
        return [normalized(block.replace("\\\n", " "))]
    lines = block.replace("\\\n", " ").splitlines()
    return [
        normalized(part)
        for line in lines
        for part in re.sub(r"(^|\s+)#.*", "", line).split(" && ")
        if part.strip() and not part.startswith("{")
    ]


def is_command(line):
    words = [word for word in line.split() if not re.fullmatch(r"[A-Z_]+=\S*", word)]
    return bool(words) and (words[0] in PROGRAMS or bool(SET_UP.match(line)))


def blocks(languages):
    for path in PAGES:
        for block in BLOCK.finditer(path.read_text(encoding="utf-8")):
            if block["language"] in languages:
                yield page_name(path), block["content"]


def commands():
    """All commands in blocks; text in blocks without a language is listed in `NOT_COMMANDS`."""
    for page, block in blocks(SHELL):
        if block.startswith(NOT_COMMANDS):
            continue
        for line in command_lines(block):
            if not SET_UP.match(line):
                yield Command(page, line)


def inline_commands():
    """Commands within the text, such as `make demo`."""
    for path in PAGES:
        text = BLOCK.sub("", path.read_text(encoding="utf-8"))
        for code in re.findall(r"`([^`]+)`", text):
            line = normalized(code.replace("\\\n", " "))
            if is_command(line) and " " in line and "MODULE" not in line and "..." not in line:
                yield Command(page_name(path), line.replace("[", "").replace("]", ""))


def entry(command):
    """The longest key that a command begins with, or None."""
    keys = [key for key in (*RUN_HERE, *RUN_BY, *NOT_RUN) if command.line.startswith(key)]
    return max(keys, key=len, default=None)


COMMANDS = list(dict.fromkeys(commands()))
HERE = [command for command in COMMANDS if entry(command) in RUN_HERE]
ALL = list(dict.fromkeys([*COMMANDS, *inline_commands()]))


def named(command):
    return f"{command.page}: {command.line[:60]}"


@pytest.mark.parametrize("command", COMMANDS, ids=named)
def test_a_command_is_run_or_listed_with_the_reason(command):
    assert is_command(command.line) or command.line.startswith("#!")
    assert entry(command), "add it to tests/documented_commands.py"


def test_every_entry_of_the_list_is_about_a_command():
    used = {entry(command) for command in COMMANDS}
    assert set(RUN_HERE) | RUN_BY.keys() | NOT_RUN.keys() == used
    assert len({*RUN_HERE, *RUN_BY, *NOT_RUN}) == len(RUN_HERE) + len(RUN_BY) + len(NOT_RUN)
    pages = {page for page, _ in blocks(("python",))}
    assert pages - {*PYTHON_RUN_HERE, *PYTHON_RUN_BY} == set()


@pytest.mark.parametrize("test", sorted({*RUN_BY.values(), *PYTHON_RUN_BY.values()}))
def test_the_tests_in_the_list_exist(test):
    file, _, name = test.partition("::")
    assert f"def {name}" in (ROOT / file).read_text(encoding="utf-8")


@functools.cache
def flags_of(module):
    """Names of the flags that a program defines, read from its source."""
    path = source_of(module)
    text = path.read_text(encoding="utf-8")
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("flags.DEFINE_"):
            names |= texts_in(node.args[0])
        elif isinstance(node, ast.For) and "flags.DEFINE_" in ast.unparse(node):
            names |= texts_in(node.iter)  # names of several flags, among other texts
    for other in re.findall(r"(\w+)\.define_\w*flags\(\)", text):
        files = (file for folder in FOLDERS for file in (ROOT / folder).rglob(f"{other}.py"))
        (file,) = [file for file in files if file.parts[-2] in path.parts]
        names |= flags_of(".".join(file.relative_to(ROOT).with_suffix("").parts))
    return names


def texts_in(node):
    return {
        part.value
        for part in ast.walk(node)
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    }


def source_of(module):
    path = ROOT.joinpath(*module.split("."))
    return path / "__main__.py" if path.is_dir() else path.with_suffix(".py")


def program_of(words):
    """The module that a command line runs and its arguments; None for other programs."""
    if words[:2] == ["python", "-m"]:
        name = f"{words[2].removeprefix('gkcmn_tf.')} {' '.join(words[3:4])}"
        if name in cli.COMMANDS:  # `python -m gkcmn_tf.i3d classify`
            return cli.COMMANDS[name], words[4:]
        return words[2], words[3:]
    if words[0] == "gkcmn":
        for count in (2, 1):
            name = " ".join(words[1 : 1 + count])
            if name in cli.COMMANDS:
                return cli.COMMANDS[name], words[1 + count :]
        assert words[1:] in (["--help"], ["--version"]), words
    return None


@pytest.mark.parametrize("command", ALL, ids=named)
def test_the_program_its_flags_and_its_files_exist(command):
    line = command.line
    if line.startswith("#!"):  # a script that runs a program
        line = line[line.index("python -m") :].removesuffix("'")
    words = shlex.split(line)
    if (program := program_of(words)) is not None:
        module, arguments = program
        assert source_of(module).exists()
        flags = flags_of(module) | FLAGS_OF_ALL
        for argument in arguments:
            if argument.startswith("--"):
                name = argument[2:].partition("=")[0]
                assert name in flags or name.removeprefix("no") in flags, argument
    elif words[0] == "make":
        targets = [word for word in words[1:] if "=" not in word]
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        for target in targets:
            name = re.escape(target.replace(".venv", "$(VENV)"))
            assert re.search(rf"^{name}:", makefile, re.MULTILINE), target
    for word in words:
        path = word.rpartition("=")[2]
        if path.startswith(FOLDERS) and "without_br" not in path:
            assert (ROOT / path).exists(), path


def run(words, folder):
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with the sample videos and the files of a small run."""
    folder = tmp_path_factory.mktemp("workplace")
    (folder / "gkcmn_tf").mkdir()
    (folder / "gkcmn_tf" / "samples").symlink_to(ROOT / "gkcmn_tf" / "samples")
    tube = {"begin": 2, "end": 4, "boxes": {"2": [0, 0, 10, 10], "3": [0, 0, 10, 10]}}
    truth = {"id": "s0", "vid": "v", "qtype": "declarative", "width": 64, "height": 48}
    truth |= {"fps": 25.0, "frame_count": 10, "clip": {"begin": 0, "end": 10}, "gt": tube}
    run_folder = folder / "runs" / "demo"
    run_folder.mkdir(parents=True)
    (run_folder / "gt.json").write_text(json.dumps([truth]))
    (run_folder / "predictions.json").write_text(json.dumps({"s0": tube}))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("command", HERE, ids=named)
def test_a_documented_command_runs(command, workplace):
    words = shlex.split(command.line)
    # The installed command and Python are those of the environment.
    start = ["-m", "gkcmn_tf.cli"] if words[0] == "gkcmn" else []
    written = run([*start, *words[1:]], workplace)
    if "ground" in words:
        lines = written.splitlines()
        assert len(lines) == (
            0 if "--output=tracks.xml" in words else command.line.count("--query=")
        )
    if "--output=tracks.xml" in words:
        assert (workplace / "tracks.xml").exists()


@pytest.mark.slow
def test_the_documented_python_runs(workplace):
    found = [block for page, block in blocks(("python",)) if page in PYTHON_RUN_HERE]
    run(["-c", "\n".join(found)], workplace)
