"""Programs that are killed, run out of disk, read damaged files, or run twice at once.

A program that is started again after a fault must give the files of a run without faults. Here are
the faults that need a whole program; `tests/data/test_extract_features.py` and
`tests/gkcmn_tf/test_train.py` kill at more points. FAULTS=20 injects that many of each kind, at
random places, instead of one.
"""

import json
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np
import pytest
import tensorflow as tf

from gkcmn_tf.folder_lock import LOCK_FILE
from tests.data.conftest import VidstgFolder
from tests.gkcmn_tf.tiny_records import write_records

ROOT = pathlib.Path(__file__).parents[2]
FAULTS = int(os.environ.get("FAULTS", "1"))
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
MISTAKE = 2
TRAIN = "train: {steps: 10, steps_per_loop: 2, checkpoint_interval: 2, eval_interval: 4}"
PROGRAMS = ("prepare", "train", "evaluate", "export")

pytestmark = pytest.mark.slow


class Case:
    """Commands of all programs, on one data set, and the results without faults."""

    def __init__(self, folder):
        self.folder = folder
        self.records = folder / "records"
        write_records(self.records)
        data = VidstgFolder(folder / "vidstg")
        steady = {frame: (8, 8, 24, 32) for frame in range(40)}
        for vid in ("a", "b", "c"):
            data.add_vidor(vid, {0: steady})
            data.add_record(vid)
            data.add_video(vid)
        data.write()
        self._undisturbed = {}

    def command(self, program, output):
        """Module and arguments of a program that writes to the folder `output`."""
        run = f"--model_dir={self.folder / 'undisturbed-train'}"
        override = f"data: {{records_dir: {self.records}}}"
        return {
            "prepare": ["tests.faults.prepare_tiny", str(self.folder / "vidstg"), str(output)],
            "train": [
                *("gkcmn_tf.train", "--experiment=bm", f"--model_dir={output}"),
                *(f"--config_file={self.records}/config.yaml", f"--config_file={self.short()}"),
                f"--params_override={override}",
            ],
            "evaluate": ["gkcmn_tf.evaluate", run, "--split=val", f"--output_dir={output}"],
            "export": ["export.preset", run, f"--output_dir={output}", "--name=p"],
        }[program]

    def short(self):
        path = self.folder / "short.yaml"
        path.write_text(TRAIN)
        return path

    def undisturbed(self, program):
        """Folder of the results of a run without faults."""
        if program in ("evaluate", "export"):
            self.undisturbed("train")
        output = self.folder / f"undisturbed-{program}"
        if not output.exists():
            start(self.command(program, output)).finish()
        return output


class Started:
    """A program in the background."""

    def __init__(self, process, reader, log):
        self.process, self._reader, self._log = process, reader, log

    def finish(self, *codes):
        """Waits for the end, with one of `codes` (default: 0); returns what was printed."""
        self.process.wait(timeout=600)
        self._reader.wait()
        self._log.seek(0)
        text = self._log.read()
        assert self.process.returncode in (codes or (0,)), text[-3000:]
        assert "Traceback" not in text, text[-3000:]
        return text


def start(command, fault="none", number=0, bytes_per_file=None):
    """Starts a program with a fault; see `tests.faults.injection`."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_per_file, bytes_per_file))

    # A file cannot fill up, unlike a pipe that is not read; the limit is not for this file.
    log = tempfile.TemporaryFile("w+")  # noqa: SIM115
    reader = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=log)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.injection", fault, str(number), *command],
        cwd=ROOT,
        env=os.environ | QUIET,
        stdout=reader.stdin,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=limit if bytes_per_file else None,  # noqa: PLW1509
    )
    reader.stdin.close()
    return Started(process, reader, log)


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    return Case(tmp_path_factory.mktemp("faults"))


@pytest.fixture(scope="module", autouse=True)
def account():
    """Counts of injected and survived faults, which are printed at the end."""
    counts = {"injected": 0, "survived": 0}
    yield counts
    print("\nfaults:", json.dumps(counts), file=sys.__stdout__)


def results(program, folder):
    """What a program wrote, by name: bytes, or variables of the last checkpoint."""
    folder = pathlib.Path(folder)
    if program == "train":
        reader = tf.train.load_checkpoint(tf.train.latest_checkpoint(str(folder)))
        names = [n for n in reader.get_variable_to_shape_map() if "OBJECT_GRAPH" not in n]
        return {name: np.asarray(reader.get_tensor(name)).tobytes() for name in names}
    names = [path for path in folder.rglob("*") if path.is_file()]
    found = {str(path.relative_to(folder)): path.read_bytes() for path in names}
    if program == "export":
        # HDF5 files and the card contain times and folders; loading them is tested elsewhere.
        return {name: found[name] for name in ("config.json", "features.json", "vocabulary.txt")}
    return found


def check_rerun(case, program, output, account):
    """The same command, without a fault, gives the results of an undisturbed run."""
    start(case.command(program, output)).finish()
    found, expected = results(program, output), results(program, case.undisturbed(program))
    assert found.keys() == expected.keys()
    assert [name for name in found if found[name] != expected[name]] == []
    account["survived"] = account["injected"]


@pytest.mark.parametrize("program", PROGRAMS)
def test_killed(program, case, account, tmp_path):
    case.undisturbed(program)
    rng = random.Random(program)
    places = [2] if FAULTS == 1 else [rng.randrange(1, 7) for _ in range(FAULTS)]
    for number in places:
        fault = rng.choice(["kill", "killafter"])
        code = start(case.command(program, tmp_path / "o"), fault, number).process.wait()
        # A run that has already written most of its files may end first.
        assert code in (-signal.SIGKILL, 0), code
        assert code == -signal.SIGKILL or FAULTS > 1
        account["injected"] += code != 0
    check_rerun(case, program, tmp_path / "o", account)


@pytest.mark.parametrize("program", PROGRAMS)
def test_disk_full(program, case, account, tmp_path):
    """No file may become larger than a limit, as on a full disk."""
    whole = case.undisturbed(program)
    largest = max(path.stat().st_size for path in whole.rglob("*") if path.is_file())
    rng = random.Random(program)
    limits = [largest // 2] if FAULTS == 1 else [rng.randrange(1, largest) for _ in range(FAULTS)]
    for limit in limits:
        text = start(case.command(program, tmp_path / "o"), bytes_per_file=limit).finish(MISTAKE)
        assert "File too large" in text or "cannot be written" in text, text[-2000:]
        if program == "prepare":
            last = text.rstrip().rpartition("\n")[2]
            assert re.match(rf"error: {re.escape(str(tmp_path))}/o/[\w./-]+: ", last), last
        account["injected"] += 1
    check_rerun(case, program, tmp_path / "o", account)


@pytest.mark.parametrize("program", ["prepare", "train"])
def test_two_at_once(program, case, account, tmp_path):
    output = tmp_path / "o"
    first = start(case.command(program, output))
    while not (output / LOCK_FILE).exists() or not (output / LOCK_FILE).read_text():
        assert first.process.poll() is None
        time.sleep(0.02)
    os.kill(first.process.pid, signal.SIGSTOP)
    account["injected"] += 1
    text = start(case.command(program, output)).finish(MISTAKE)
    assert f"in use by process {first.process.pid} on " in text
    os.kill(first.process.pid, signal.SIGCONT)
    first.finish()
    check_rerun(case, program, output, account)


@pytest.mark.parametrize(
    ("program", "file"),
    [
        ("train", "records/clips/train-00000-of-00001.tfrecord"),
        ("evaluate", "records/features/v3.tfrecord"),
        ("export", "undisturbed-train/features.json"),
    ],
)
def test_damaged_file(program, file, case, account, tmp_path):
    case.undisturbed(program)
    path = case.folder / file
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    account["injected"] += 1
    try:
        text = start(case.command(program, tmp_path / "o")).finish(MISTAKE)
    finally:
        path.write_bytes(whole)
    assert path.name in text, text[-2000:]
    shutil.rmtree(tmp_path / "o", ignore_errors=True)
    account["survived"] = account["injected"]
