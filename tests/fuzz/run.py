r"""Reads many damaged files with every parser; see `make fuzz`. No tests.

Example:
    python -m tests.fuzz.run --inputs=5000 --parser=predictions --parser=val.csv

Each parser and engine runs in a process of its own. `hypothesis` makes structured inputs and edited
files; `atheris` changes bytes of valid files, guided by the code that they reach, and needs the
package of that name. Inputs that raise an undocumented exception, or take more than 5 s of
processor time or 2 GiB of memory, are written to --output_dir; the program then ends with status 1.
"""

import collections
import hashlib
import math
import os
import pathlib
import random
import subprocess
import sys
import tempfile

from absl import app, flags, logging

FLAGS = flags.FLAGS
# Engines and their parts of the inputs of a parser. Structured inputs take longer to make.
ENGINE_SHARES = {"hypothesis": 0.2, "atheris": 0.8}
SHOWN = 8
ATHERIS_SECONDS = 3600  # for one input; `limited` stops far earlier

flags.DEFINE_integer("inputs", 100_000, "Inputs of each parser.", lower_bound=1)
flags.DEFINE_multi_string("parser", [], "Parsers; default: all.")
flags.DEFINE_multi_enum("engine", list(ENGINE_SHARES), list(ENGINE_SHARES), "Engines.")
flags.DEFINE_integer("seed", None, "Seed; default: a random one.")
flags.DEFINE_string("output_dir", "runs/fuzz", "Folder for inputs that fail.")
flags.DEFINE_bool("here", False, "Run one parser and engine in this process, with all inputs.")


def main(argv):
    """Runs the engines and returns whether any input failed."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    seed = random.randrange(2**31) if FLAGS.seed is None else FLAGS.seed
    if FLAGS.here:
        run = {"hypothesis": run_hypothesis, "atheris": run_atheris}[FLAGS.engine[0]]
        return run(FLAGS.parser[0], FLAGS.inputs, seed)
    with tempfile.TemporaryDirectory() as folder:
        from tests.fuzz.parsers import make_parsers

        names = FLAGS.parser or list(make_parsers(pathlib.Path(folder)))
    failed = []
    for engine in FLAGS.engine:
        for name in names:
            command = [sys.executable, "-m", "tests.fuzz.run", "--here", f"--engine={engine}"]
            inputs = math.ceil(FLAGS.inputs * ENGINE_SHARES[engine])
            command += [f"--parser={name}", f"--inputs={inputs}", f"--seed={seed}"]
            command += [f"--output_dir={FLAGS.output_dir}"]
            if subprocess.run(command, env=_environment(), check=False).returncode:
                failed.append(f"{name} ({engine})")
    print(f"seed {seed}: " + (f"failures: {', '.join(failed)}" if failed else "no failures"))
    return bool(failed)


def _environment():
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "TQDM_DISABLE": "1"}
    return os.environ | quiet


class Checked:
    """Checks inputs of one parser and keeps those that fail."""

    def __init__(self, name):
        from tests.fuzz.parsers import make_parsers

        self._folder = tempfile.TemporaryDirectory()
        folder = pathlib.Path(self._folder.name)
        self.parser = make_parsers(folder)[name]
        self._path = folder / "input" / name
        self._path.parent.mkdir(parents=True)
        self.count = 0
        self.refused = 0
        self.failures = collections.Counter()

    def check(self, content):
        """Reads an input; a failure is counted and the input is written."""
        from tests.fuzz.limits import TooLarge, TooSlow, limited

        self.count += 1
        try:
            with limited():
                self.refused += bool(self.parser.check(str(self._path), content))
        except (Exception, TooLarge, TooSlow) as error:
            kind = f"{type(error).__name__}: {' '.join(str(error).split())[:100]}"
            self.failures[kind] += 1
            if self.failures[kind] <= SHOWN:
                digits = hashlib.sha256(content).hexdigest()[:16]
                name = self.parser.name.replace("/", "-")
                place = pathlib.Path(FLAGS.output_dir, f"{name}-{digits}")
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(content)
                print(f"{place}: {kind}")

    def report(self, engine):
        """Prints the counts; returns whether an input failed."""
        failed = self.failures.total()
        print(
            f"{self.parser.name} ({engine}): {self.count:,} inputs, {self.refused:,} refused, "
            f"{failed} failed",
            flush=True,
        )
        return failed > 0


def run_hypothesis(name, inputs, seed):
    """Structured inputs and edited files."""
    import hypothesis

    logging.set_verbosity(logging.FATAL)
    checked = Checked(name)

    @hypothesis.settings(
        max_examples=max(1, int(inputs * checked.parser.share)),
        suppress_health_check=list(hypothesis.HealthCheck),
        database=None,
        deadline=None,
    )
    @hypothesis.seed(seed)
    @hypothesis.given(checked.parser.inputs)
    def check(content):
        checked.check(content)

    check()
    return checked.report("hypothesis")


def run_atheris(name, inputs, seed):
    """Bytes, guided by the code of this project that they reach."""
    try:
        import atheris
    except ImportError as error:
        raise ImportError("atheris is missing; install tests/fuzz/requirements.txt") from error

    with atheris.instrument_imports(include=["gkcmn_tf", "data"]):
        import tests.fuzz.parsers  # noqa: F401

    logging.set_verbosity(logging.FATAL)
    checked = Checked(name)
    corpus = tempfile.TemporaryDirectory()
    for number, content in enumerate(checked.parser.valid):
        pathlib.Path(corpus.name, str(number)).write_bytes(content)
    runs = max(1, int(inputs * checked.parser.share))

    def check(content):
        checked.check(content)
        # The engine ends the process by itself after its last input, without a report.
        if checked.count >= runs:
            failed = checked.report("atheris")
            sys.stdout.flush()
            corpus.cleanup()
            os._exit(failed)

    arguments = [f"-seed={seed % 2**31 or 1}", f"-timeout={ATHERIS_SECONDS}", "-rss_limit_mb=0"]
    arguments += ["-max_len=4096", "-verbosity=0", corpus.name]
    atheris.Setup([sys.argv[0], *arguments], check)
    atheris.Fuzz()


if __name__ == "__main__":
    app.run(main)
