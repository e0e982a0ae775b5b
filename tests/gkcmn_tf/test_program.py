"""Start and failure of programs, with small programs written by the tests."""

import os
import pathlib
import signal
import subprocess
import sys
import textwrap

import pytest

ROOT = pathlib.Path(__file__).parents[2]
HEADER = '''
    """Counts words.

    Example:
        python -m count --words=3
    """
    import json, os, signal, sys, types
    from absl import app, flags, logging
    from gkcmn_tf import program
    from gkcmn_tf.video.reading import VideoError
    FLAGS = flags.FLAGS
    def define_flags():
        flags.DEFINE_integer("words", None, "How many.", required=True, lower_bound=0)
'''
FOOTER = """
    if __name__ == "__main__":
        program.run(main, define_flags)
"""


@pytest.fixture
def run_program(tmp_path):
    """Runs `python -m count` with a given line as `main`."""

    def run(line, *arguments):
        body = f"{HEADER}    def main(argv):\n        {line}\n{FOOTER}"
        (tmp_path / "count.py").write_text(textwrap.dedent(body))
        return subprocess.run(
            [sys.executable, "-m", "count", *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_a_successful_program(run_program):
    done = run_program("print(FLAGS.words, argv[1:])", "--words=3", "rest")
    assert (done.returncode, done.stdout, done.stderr) == (0, "3 ['rest']\n", "")
    assert run_program("return 5", "--words=3").returncode == 5


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('raise ValueError("line 3 of\\n  a.json: no id")', "line 3 of a.json: no id"),
        ('raise VideoError("a.mp4: no frames")', "a.mp4: no frames"),
        ('raise FileNotFoundError("a.mp4: no such file")', "a.mp4: no such file"),
        ('raise program.ProgramError("no answer")', "no answer"),
        ('open("none.json")', "none.json: No such file or directory"),
        ('open("/")', "/: Is a directory"),
        ('open(300 * "x")', f"{300 * 'x'}: File name too long"),
        (
            "raise OSError(__import__('errno').ENOSPC, 'No space left on device')",
            "No space left on device",
        ),
        (
            'raise app.UsageError("give one folder")',
            "give one folder; see python -m count --help",
        ),
        (
            'raise ModuleNotFoundError("no", name="orbit.actions")',
            "python -m count needs the package tf-models-official: pip install 'gkcmn-tf[train]'",
        ),
    ],
)
def test_a_user_error_is_one_line(run_program, line, message):
    done = run_program(line, "--words=3")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {message}\n")
    done = run_program(line, "--words=3", "--debug")
    assert done.returncode == 2
    assert done.stderr.startswith("Traceback")
    assert done.stderr.endswith(f"\nerror: {message}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "missing --words"),
        (["--words=x"], "flag --words=x: invalid literal for int() with base 10: 'x'"),
        (["--words=-1"], "flag --words=-1: -1 is not a non-negative integer"),
        (["--words=1", "--wordz=1"], "Unknown command line flag 'wordz'. Did you mean: words ?"),
    ],
)
def test_a_flag_error_is_one_line(run_program, arguments, message):
    done = run_program("pass", *arguments)
    assert done.stderr == f"error: {message}; see python -m count --help\n"
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.parametrize("line", ["{}[3]", "1 / 0", "import none", "assert not argv"])
def test_a_bug_shows_its_traceback(run_program, line):
    done = run_program(line, "--words=3")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert "error:" not in done.stderr.splitlines()[-1][:6]


# The last one is a call that Python cannot interrupt.
@pytest.mark.parametrize(
    "blocked",
    [
        "signal.pause()",
        "exec('while True: pass')",
        "__import__('ctypes').CDLL(None).usleep(60_000_000)",
    ],
)
def test_an_interrupt_is_one_line(run_program, blocked):
    line = f"os.kill(os.getpid(), signal.SIGINT); {blocked}"
    done = run_program(line, "--words=3")
    message = "interrupted: python -m count\n"
    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGINT, "", message)


def test_an_interrupt_that_a_library_catches_ends_the_program(run_program):
    loop = "while True:\n try: signal.pause()\n except BaseException: pass"
    done = run_program(f"os.kill(os.getpid(), signal.SIGINT); exec({loop!r})", "--words=3")
    assert (done.returncode, done.stderr) == (130, "interrupted: python -m count\n")


@pytest.mark.parametrize(("line", "status", "error"), [("sys.exit(3)", 3, ""), ("print(3)", 0, "")])
def test_a_program_may_end_without_teardown(run_program, line, status, error):
    setting = "sys.modules['__main__'].SKIPS_TEARDOWN = True"
    register = "__import__('atexit').register(print, 'teardown')"
    done = run_program(f"{setting}; {register}; {line}", "--words=3")
    assert (done.returncode, done.stderr) == (status, error)
    assert "teardown" not in done.stdout


def test_help_contains_the_docstring_and_the_flags_of_the_program(run_program):
    done = run_program("pass", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Counts words.\n\nExample:\n    python -m count --words=3\n\nFl")
    own, common = done.stdout.split("Flags of every program:")
    assert "--words: How many." in own and "--[no]debug" not in own
    assert "--[no]debug" in common and "--[no]verbose" in common


def test_a_closed_output_pipe_is_not_an_error(run_program, tmp_path):
    run_program("pass", "--words=1")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "count", "--help"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""


def test_libraries_log_only_warnings(run_program):
    line = (
        'logging.set_verbosity(logging.INFO); logging.info("ours"); '
        'logger = logging.get_absl_logger(); record = logger.makeRecord("absl", 20, '
        '"/lib/orbit/controller.py", 1, "theirs", (), None); logger.handle(record)'
    )
    (quiet, verbose) = (run_program(line, "--words=1", *more) for more in ((), ["--verbose"]))
    assert "theirs" not in quiet.stderr and "theirs" in verbose.stderr


def test_start_keeps_a_tensorflow_log_level_set_by_the_user(run_program, monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "1")
    assert run_program("print(os.environ['TF_CPP_MIN_LOG_LEVEL'])", "--words=1").stdout == "1\n"


def test_importing_the_library_does_not_change_logging():
    """A script that imports the package is not one of its programs, so logging stays unchanged."""
    code = "import gkcmn_tf, os, sys; print(os.environ.get('TF_CPP_MIN_LOG_LEVEL'), sys.excepthook)"
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "None <built-in function excepthook>\n"


def test_programs_use_tensorflow_if_the_environment_names_another_backend(run_program, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    done = run_program("print(os.environ['KERAS_BACKEND'])", "--words=3")
    assert (done.returncode, done.stdout) == (0, "tensorflow\n")
    assert done.stderr == "KERAS_BACKEND=jax is ignored: programs use TensorFlow\n"
