"""Start-up and error reporting of command-line programs.

`start` must run before TensorFlow is imported. `python -m gkcmn_tf.train` imports the package, then
the module with its imports, and then runs the last lines of the module. Thus `start` is called
in `__init__.py` of the packages if `sys.argv[0] == "-m"`, which Python sets while it locates the
module. Scripts and notebooks that import the package keep their own logging.

`run` is the last line of each program. User errors print one line on stderr and exit with status 2.
Ctrl-C prints one line and exits with status 130. Other exceptions are bugs and print a traceback.
A program with a constant `RESUMES = True` continues when it is run again.
"""

import errno
import importlib.abc
import importlib.machinery
import logging
import os
import pathlib
import re
import sys
import traceback
import types
import warnings
from collections.abc import Callable, Sequence
from typing import NoReturn

from absl import app, flags

from gkcmn_tf import extras, interruption

FLAGS = flags.FLAGS
STDERR = 2
MISTAKE_STATUS = 2
INTERRUPTED_STATUS = 130
HELP = ("--help", "-help", "--helpshort", "-h", "-?")
# `data` and other folders are next to this package in the repository, inside it when installed.
_PACKAGE = pathlib.Path(__file__).resolve().parent
_OWN_FOLDERS = (
    f"{_PACKAGE}{os.sep}",
    *(f"{_PACKAGE.parent / name}{os.sep}" for name in ("data", "export", "benchmarks")),
)
_REQUIRED = re.compile(r"flag --(\w+)=None: Flag --\1 must have a value other than None\.")


class ProgramError(RuntimeError):
    """A failure that is not a bug, such as a server that does not respond."""


class _CommandLineError(Exception):
    """Invalid flags or arguments."""


# Errors of the operating system, besides those with a class of their own, that users can mend.
_MISTAKE_ERRNOS = {
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOSPC,
    errno.EROFS,
}
# Bugs in libraries may also raise these; --debug shows the traceback.
MISTAKES = (
    _CommandLineError,
    ProgramError,
    extras.MissingPackageError,
    ValueError,
    FileExistsError,
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
)


def start() -> None:
    """Silences library logs, unless `--verbose` is given, and reports failed imports in one line.

    This affects the C++ log of TensorFlow (an existing TF_CPP_MIN_LOG_LEVEL takes precedence), the
    `pkg_resources` deprecation warning of tensorflow-hub, notices of Apache Beam about Google
    Cloud, and messages of libraries below the level of warnings.
    """
    if sys.excepthook is _report_uncaught:
        return
    _choose_backend()
    sys.excepthook = _report_uncaught
    if "--verbose" in sys.argv[1:]:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
    sys.meta_path.insert(0, _QuietTensorFlow())
    for library in ("apache_beam", "httpx", "httpx2", "tensorflow", "tf2onnx"):
        logging.getLogger(library).setLevel(logging.WARNING)
    logging.getLogger("apache_beam.io.filesystems").setLevel(logging.ERROR)
    logging.getLogger().addFilter(_is_not_about_apitools)
    # Orbit, TensorFlow and this project share the logger of absl.
    logging.getLogger("absl").addFilter(_is_warning_or_own)


def run(
    main: Callable[[Sequence[str]], int | None],
    define_flags: Callable[[], None] | None = None,
    *,
    arguments: Sequence[str] | None = None,
    command: str | None = None,
    description: str | None = None,
) -> NoReturn:
    """Parses the command line, runs `main`, and exits.

    Args:
        main: main function; takes the program name and the positional arguments.
        define_flags: defines the flags of the program.
        arguments: command-line arguments; default: those of the process.
        command: command of the program, for messages; default: derived from the module.
        description: text of `--help` above the flags; default: the docstring of the module.
    """
    start()
    module = sys.modules[main.__module__]
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    command = command or _command(module)
    remark = "; the same command continues" if getattr(module, "RESUMES", False) else ""

    def end_after_interrupt():
        _end_process(report(KeyboardInterrupt(), command + remark))

    interruption.end_after_interrupt(end_after_interrupt)
    _define_common_flags()
    if define_flags is not None:
        define_flags()

    def parse(argv):
        if not set(HELP).isdisjoint(argv[1:]):
            print(_help(description or module.__doc__, module))
            sys.exit()
        try:
            return FLAGS(argv)
        except flags.Error as error:
            raise _CommandLineError(f"{_explain(error)}; see {command} --help") from error

    def checked_main(argv):
        try:
            return main(argv)
        except app.UsageError as error:
            raise _CommandLineError(f"{error}; see {command} --help") from error

    try:
        app.run(checked_main, argv=[sys.argv[0], *arguments], flags_parser=parse)
    except SystemExit as done:
        if getattr(module, "SKIPS_TEARDOWN", False) and not isinstance(done.code, str):
            _end_process(done.code or 0)
        raise
    except BrokenPipeError:
        # The reader, such as `head`, closed the pipe; prevent Python from flushing stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(MISTAKE_STATUS)
    except (Exception, KeyboardInterrupt) as error:
        if _is_interrupt(error):
            command += remark
        status = report(error, command, debug="--debug" in arguments)
        if status is None:
            raise
        sys.exit(status)


def _end_process(status: int) -> NoReturn:
    """Ends the process without waiting for threads or destroying objects."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def report(error: BaseException, command: str, *, debug: bool = False) -> int | None:
    """Prints an error on one line on stderr.

    Args:
        error: the exception.
        command: command of the program.
        debug: whether to print the traceback as well.

    Returns:
        the exit status; None for a bug, which is not printed.
    """
    if _is_interrupt(error):
        interruption.report(f"interrupted: {command}")
        return INTERRUPTED_STATUS
    if isinstance(error, MISTAKES) or _is_mistake_of_system(error):
        line, status = f"error: {_message(error)}", MISTAKE_STATUS
    elif isinstance(error, ModuleNotFoundError) and extras.remedy(error, command):
        line, status = f"error: {extras.remedy(error, command)}", MISTAKE_STATUS
    else:
        return None
    if debug:
        traceback.print_exception(error)
    print(line, file=sys.stderr)
    return status


def _is_interrupt(error):
    return isinstance(error, KeyboardInterrupt) or interruption.happened()


def _is_mistake_of_system(error):
    return isinstance(error, OSError) and error.errno in _MISTAKE_ERRNOS


def _choose_backend() -> None:
    """Selects TensorFlow as the Keras backend; overrides KERAS_BACKEND and keras.json."""
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    if backend != "tensorflow":
        print(f"KERAS_BACKEND={backend} is ignored: programs use TensorFlow", file=sys.stderr)
    os.environ["KERAS_BACKEND"] = "tensorflow"


class _QuietTensorFlow(importlib.abc.MetaPathFinder):
    """Redirects stderr to the null device while TensorFlow is imported.

    TensorFlow 2.21 ignores the log level before its log is initialized. Exceptions are printed
    after the import and stay visible.
    """

    def find_spec(self, fullname, path=None, target=None):
        if fullname != "tensorflow":
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module
            spec.loader.exec_module = lambda module: _without_stderr(execute, module)
        return spec


def _without_stderr(function, *arguments):
    stderr = os.dup(STDERR)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, STDERR)
        return function(*arguments)
    finally:
        os.dup2(stderr, STDERR)
        os.close(stderr)
        os.close(null)


def _is_not_about_apitools(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("apitools not found")


def _is_warning_or_own(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING or record.pathname.startswith(_OWN_FOLDERS)


def _report_uncaught(_, error: BaseException, trace: types.TracebackType | None) -> None:
    """`sys.excepthook` of a program, for errors before `run` is called."""
    imports_failed = isinstance(error, (ModuleNotFoundError, KeyboardInterrupt))
    if imports_failed:
        status = report(error, _command(sys.modules["__main__"]), debug="--debug" in sys.argv)
        if status is not None:
            raise SystemExit(status)
    sys.__excepthook__(type(error), error, trace)


def _define_common_flags() -> None:
    flags.DEFINE_boolean("debug", False, "Print the traceback of errors.")
    flags.DEFINE_boolean("verbose", False, "Print all log messages of libraries.")


def _command(module: types.ModuleType) -> str:
    spec = module.__spec__
    return f"python -m {spec.name}" if spec is not None else f"python {sys.argv[0]}"


def _help(description: str | None, module: types.ModuleType) -> str:
    sections = [(description or "").strip()]
    for title, owner in (("Flags", module), ("Flags of every program", sys.modules[__name__])):
        # Skip the line with the name of the module.
        if text := FLAGS.module_help(owner).strip().partition("\n")[2]:
            sections.append(f"{title}:\n{text}")
    return "\n\n".join(sections)


def _explain(error: flags.Error) -> str:
    missing = _REQUIRED.findall(str(error))
    if missing:
        return f"missing {', '.join(f'--{name}' for name in missing)}"
    return _message(error).rstrip(".")


def _message(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    if _is_mistake_of_system(error):
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__
