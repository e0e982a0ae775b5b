"""The command `gkcmn`, as its users run it."""

import ast
import os
import pathlib
import re
import subprocess
import sys

import pytest

from gkcmn_tf import cli

ROOT = pathlib.Path(__file__).parents[2]
# As on a machine where the log level of TensorFlow is not set.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}


def call(*arguments):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )


def gkcmn(*arguments):
    return call("-m", "gkcmn_tf.cli", *arguments)


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_lists_every_command_with_its_summary(arguments):
    done = gkcmn(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert cli.EXAMPLE in done.stdout
    lines = done.stdout.partition("Commands:\n")[2].splitlines()
    assert [line[2:].partition("  ")[0] for line in lines] == list(cli.COMMANDS)
    assert all(len(line) < 120 and line.endswith(".") for line in lines)


def test_help_of_export_lists_only_its_commands():
    done = gkcmn("export")
    assert done.returncode == 0
    assert "  export onnx " in done.stdout and "  train " not in done.stdout


def test_listing_commands_does_not_import_tensorflow():
    code = (
        "import sys; sys.modules |= dict.fromkeys(['tensorflow', 'keras', 'numpy']); "
        "sys.argv = ['gkcmn']; from gkcmn_tf import cli; cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gruond", "--query=x"], "gkcmn gruond: no such command; did you mean gkcmn ground? "),
        (["export", "tfltie"], "gkcmn export tfltie: no such command; did you mean gkcmn export "),
        (["export", "--flag"], "gkcmn export --flag: no such command; "),
        (["zzz"], "gkcmn zzz: no such command; "),
        (["--zzz"], "gkcmn --zzz: no such command; "),
    ],
)
def test_an_unknown_command_gets_a_suggestion(arguments, message):
    done = gkcmn(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {message}") and done.stderr.count("\n") == 1
    assert done.stderr.endswith("see gkcmn --help\n")


def test_each_program_of_the_library_is_a_command():
    programs = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for folder in ("gkcmn_tf", "data", "export")
        for path in (ROOT / folder).rglob("*.py")
        if 'if __name__ == "__main__":' in path.read_text(encoding="utf-8")
    }
    assert programs == {*cli.COMMANDS.values(), "gkcmn_tf.cli", "gkcmn_tf.i3d.__main__"}


def test_every_program_starts_through_the_wrapper():
    for folder in ("gkcmn_tf", "data", "export", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            source = path.read_text(encoding="utf-8")
            if 'if __name__ == "__main__":' in source and path.name not in {
                "cli.py",
                "__main__.py",
            }:
                last = ast.unparse(ast.parse(source).body[-1].body)
                assert last in {"program.run(main, define_flags)", "program.run(main)"}, path


# Each command in a process of its own, forked when what takes seconds has been imported.
HELP_OF_ALL = """
import os, sys
from gkcmn_tf import cli, program
program.start()
import keras, tensorflow
folder, *names = sys.argv[1:]
for name in names:
    if not os.fork():
        for stream in ("stdout", "stderr"):
            file = os.open(f"{folder}/{name}.{stream}", os.O_CREAT | os.O_WRONLY)
            os.dup2(file, getattr(sys, stream).fileno())
        sys.argv[1:] = [*name.split(), "--help"]
        cli.main()
    if os.wait()[1]:
        sys.exit(f"{name} failed")
"""


@pytest.fixture(scope="module")
def helps(tmp_path_factory):
    """What each command prints with `--help`: a folder of files NAME.stdout and NAME.stderr."""
    folder = tmp_path_factory.mktemp("helps")
    done = call("-c", HELP_OF_ALL, str(folder), *cli.COMMANDS)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_of_a_command_logs_nothing_and_contains_its_example(name, helps):
    assert (helps / f"{name}.stderr").read_text() == ""
    shown = (helps / f"{name}.stdout").read_text()
    assert re.search(rf"^    gkcmn {name}( |$)", shown, re.MULTILINE)
    assert "python -m" not in shown
    assert "Flags of every program:" in shown


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "arguments", "message"),
    [
        ("gkcmn_tf.ground", [], "expected one of --video and --sample; see "),
        ("gkcmn_tf.train", ["--model_dir=none", "--config_file=none.yaml"], "none.yaml: no such"),
        ("gkcmn_tf.evaluate", ["--model_dir=none"], "none/params.yaml: not there; is none a --mo"),
        ("gkcmn_tf.evaluation.metrics_table", ["GKCMN"], "GKCMN: expected TITLE=FILE"),
        ("gkcmn_tf.evaluation.paper_tables", [], "missing --output_dir; see python -m gkcmn_tf.e"),
        ("data.make_shapes", ["--output_dir=/dev/null/x"], "/dev/null"),
        ("data.prepare", ["--dataset=vidstg"], "missing --annotation_dir; see python -m data.pre"),
        ("data.inspect", ["none"], "none/manifest.json: "),
        ("export.saved_model", ["--preset=none", "--output_dir=none/1"], "--preset=none: neither "),
        ("export.tflite", ["--preset=none", "--output=none"], "--preset=none: neither a folder "),
        ("export.onnx", ["--preset=none", "--output=none"], "--preset=none: neither a folder nor "),
        (
            "export.tflite",
            ["--output=none", "--quantization=int8"],
            "--quantization=int8 --network=grounding requires --records_dir; see ",
        ),
        (
            "export.tflite",
            ["--output=none", "--quantization=int8", "--network=i3d"],
            "--quantization=int8 --network=i3d requires --calibration_video; see ",
        ),
        (
            "export.client",
            ["--server=localhost:8500", "--video=none.mp4", "--query=a"],
            "none.mp4: no such fi",
        ),
        (
            "export.run_tflite",
            ["--model=none.tflite", "--i3d=none.tflite", "--video=none.mp4", "--query=a"],
            "none.tflite",
        ),
        ("benchmarks.storage", [], "missing "),
    ],
)
def test_a_user_error_is_one_line_in_each_program(module, arguments, message):
    done = call("-m", module, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {message}") and done.stderr.count("\n") == 1


@pytest.mark.slow
def test_verbose_shows_the_logs_of_libraries():
    done = gkcmn("train", "--help", "--verbose")
    assert done.returncode == 0 and "tensorflow" in done.stderr
