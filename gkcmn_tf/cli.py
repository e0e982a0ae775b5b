"""The command `gkcmn`: all programs of the project under one name.

Example:
    gkcmn ground --help

Each command is a program that `python -m` runs, too, with the same flags.
"""

import ast
import difflib
import importlib
import importlib.metadata
import importlib.util
import re
import sys

from gkcmn_tf import program

# Modules by name in the repository; its top-level folders are installed inside gkcmn_tf.
COMMANDS = {
    "ground": "gkcmn_tf.ground",
    "index": "gkcmn_tf.index",
    "search": "gkcmn_tf.search",
    "cut": "gkcmn_tf.cut",
    "train": "gkcmn_tf.train",
    "evaluate": "gkcmn_tf.evaluate",
    "metrics-table": "gkcmn_tf.evaluation.metrics_table",
    "tables": "gkcmn_tf.evaluation.paper_tables",
    "install-weights": "gkcmn_tf.install_weights",
    "make-shapes": "data.make_shapes",
    "make-samples": "data.make_samples",
    "shapes-oracle": "data.shapes_oracle",
    "prepare": "data.prepare",
    "convert-records": "data.convert_records",
    "inspect": "data.inspect",
    "trivial-guess": "data.trivial_guess",
    "i3d classify": "gkcmn_tf.i3d.classify",
    "i3d convert": "gkcmn_tf.i3d.convert",
    "export preset": "export.preset",
    "export saved-model": "export.saved_model",
    "export client": "export.client",
    "export tflite": "export.tflite",
    "export run-tflite": "export.run_tflite",
    "export onnx": "export.onnx",
    "web": "export.web",
}
# First words of commands that have two.
GROUPS = frozenset(name.partition(" ")[0] for name in COMMANDS if " " in name)
EXAMPLE = 'gkcmn ground --sample --query="the large blue cross turns around"'


def main(*prefix: str) -> None:
    """Runs the command given by `prefix` and the command-line arguments."""
    program.start()
    arguments = [*prefix, *sys.argv[1:]]
    name, arguments = _split(arguments)
    if name in COMMANDS:
        _run(name, arguments)
    elif name in {"", *GROUPS} and set(arguments) <= {*program.HELP, "--verbose", "--debug"}:
        print(_help(name))
    elif name == "" and arguments == ["--version"]:
        print(importlib.metadata.version("gkcmn-tf"))
    else:
        wrong = name if name not in GROUPS else " ".join([name, *arguments[:1]])
        print(f"error: {_unknown(wrong or arguments[0])}", file=sys.stderr)
        sys.exit(program.MISTAKE_STATUS)


def find_module(name: str) -> str:
    """Returns the import name of a module in `COMMANDS`, installed or in the repository."""
    folder = name.partition(".")[0]
    installed = f"gkcmn_tf.{folder}"
    if folder != "gkcmn_tf" and importlib.util.find_spec(installed) is not None:
        return f"gkcmn_tf.{name}"
    return name


def _split(arguments):
    """Returns the name of the command, "" if there is none, and its arguments."""
    words = 0
    while words < min(2, len(arguments)) and not arguments[words].startswith("-"):
        words += 1
    for count in (2, 1):
        name = " ".join(arguments[:count])
        if words >= count and (name in COMMANDS or count == 1):
            return name, arguments[count:]
    return "", arguments


def _run(name, arguments):
    command = f"gkcmn {name}"
    try:
        module = importlib.import_module(find_module(COMMANDS[name]))
    except (ImportError, KeyboardInterrupt) as error:
        status = program.report(error, command, debug="--debug" in arguments)
        if status is None:
            raise
        sys.exit(status)
    program.run(
        module.main,
        getattr(module, "define_flags", None),
        arguments=arguments,
        command=command,
        description=_as_commands(module.__doc__),
    )


def _as_commands(text):
    """Replaces `python -m MODULE` with `gkcmn COMMAND` in a text."""
    names = {module: name for name, module in COMMANDS.items()}
    return re.sub(
        r"python -m ([\w.]+)",
        lambda match: f"gkcmn {names[match[1]]}" if match[1] in names else match[0],
        text,
    )


def _help(prefix):
    """Lists the commands that begin with `prefix`, with the first lines of their docstrings."""
    names = [name for name in COMMANDS if name.startswith(prefix)]
    width = max(map(len, names))
    lines = [f"  {name:{width}}  {_summary(COMMANDS[name])}" for name in names]
    return "\n".join(
        [
            "GKCMN: finds what a sentence describes in a video.",
            "",
            "Usage:",
            "  gkcmn COMMAND [--flag=value ...]",
            "  gkcmn COMMAND --help",
            "",
            "Example:",
            f"  {EXAMPLE}",
            "",
            "Commands:",
            *lines,
        ]
    )


def _summary(module):
    """Returns the first line of the docstring of a module without importing it."""
    name = find_module(module)
    source = importlib.util.find_spec(name).loader.get_source(name)
    return ast.get_docstring(ast.parse(source)).partition("\n")[0]


def _unknown(name):
    close = difflib.get_close_matches(name, COMMANDS, n=1)
    suggestion = f"did you mean gkcmn {close[0]}? " if close else ""
    return f"gkcmn {name}: no such command; {suggestion}see gkcmn --help"


if __name__ == "__main__":
    main()
