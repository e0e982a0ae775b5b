"""Ctrl-C while programs compute, with their worker processes, and the run after it."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from gkcmn_tf import sample_videos
from gkcmn_tf.training import checkpoints

ROOT = pathlib.Path(__file__).parents[2]
MODEL = (
    "model: {bm: {word_width: 8, sentence_width: 8, fusion_width: 8, attention_heads: 2}}\n"
    "data: {max_steps: 16}\n"
    "train: {steps: STEPS, global_batch_size: 4, steps_per_loop: 2, checkpoint_interval: 2, "
    "eval_interval: 1000}\n"
)

WORKERS = """
import signal
from gkcmn_tf import interruption
with interruption.worker_map(abs, [-1, -2], 2) as results:
    print(list(results), flush=True)
    signal.pause()
"""

pytestmark = pytest.mark.slow


def start(module, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def interrupt_when(process, begun):
    """Sends SIGINT to the program and its workers, as Ctrl-C does; returns the last line."""
    while not begun():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)  # leaves the core to the program
    os.killpg(process.pid, signal.SIGINT)
    _, text = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in text, text
    with pytest.raises(ProcessLookupError):  # no worker is left
        for _ in range(300):
            os.killpg(process.pid, 0)
            time.sleep(0.1)
    return text.rstrip().rpartition("\n")[2]


def finish(process):
    output, text = process.communicate()
    assert process.returncode == 0, text
    return output


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    videos = ("--num_videos=10", "--num_frames=48", "--max_objects=2")
    finish(start("data.make_shapes", f"--output_dir={folder}", *videos))
    return folder


def prepare(shapes, records, *arguments):
    return start(
        "data.prepare",
        "--dataset=vidstg",
        f"--annotation_dir={shapes}/annotations",
        f"--vidor_dir={shapes}/vidor",
        f"--video_dir={shapes}/videos",
        f"--output_dir={records}",
        "--i3d_weights=random:0",
        *arguments,
    )


@pytest.fixture(scope="module")
def records(shapes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("records") / "records"
    finish(prepare(shapes, folder))
    return folder


BEAM_PROCESSES = "--beam_options=--direct_running_mode=multi_processing --direct_num_workers=2"


@pytest.mark.parametrize("options", [(), (BEAM_PROCESSES,)], ids=["one process", "Beam processes"])
def test_prepare(shapes, records, tmp_path, options):
    output = tmp_path / "records"
    arguments = (shapes, output, *options)

    def begun():
        return list(output.glob("features/*.tfrecord"))

    line = interrupt_when(prepare(*arguments), begun)
    assert line.endswith("interrupted: python -m data.prepare; the same command continues")
    finish(prepare(*arguments))
    for path in records.rglob("*.tfrecord"):
        assert path.read_bytes() == (output / path.relative_to(records)).read_bytes()
    assert not list(output.rglob("*.tmp-*"))


def test_make_shapes_with_two_processes(tmp_path):
    arguments = ("--setting=long", "--num_videos=200", "--processes=2", f"--output_dir={tmp_path}")

    def begun():
        return list(tmp_path.glob("videos/**/*.mp4"))

    line = interrupt_when(start("data.make_shapes", *arguments), begun)
    assert line.endswith("interrupted: python -m data.make_shapes; the same command continues")


def test_train(records, tmp_path):
    run, settings = tmp_path / "run", tmp_path / "bm.yaml"

    def train(steps):
        settings.write_text(MODEL.replace("STEPS", str(steps)))
        return start(
            "gkcmn_tf.train",
            "--experiment=bm",
            f"--config_file={settings}",
            f"--params_override=data.records_dir={records}",
            f"--model_dir={run}",
        )

    line = interrupt_when(train(100_000), lambda: list(run.glob("ckpt-*.index")))
    assert line == "interrupted: python -m gkcmn_tf.train; the same command continues"
    (reached,) = (int(path.rpartition("-")[2]) for path in checkpoints.paths(str(run))[-1:])
    finish(train(reached + 2))
    assert checkpoints.paths(str(run))[-1].endswith(f"ckpt-{reached + 2}")


def test_ground(tmp_path):
    output = tmp_path / "drawn"
    video = sample_videos.samples()[0].video
    arguments = (f"--video={video}", "--query=the large blue cross turns", f"--output_dir={output}")
    # The folder is made before TensorFlow is imported.
    line = interrupt_when(start("gkcmn_tf.ground", *arguments), output.is_dir)
    assert line == "interrupted: python -m gkcmn_tf.ground"
    assert not list(output.iterdir())
    assert finish(start("gkcmn_tf.ground", *arguments)).startswith('{"video"')
    assert sorted(path.suffix for path in output.iterdir()) == [".mp4", ".png"]


def test_workers_end_with_a_program_that_is_killed():
    command = [sys.executable, "-c", WORKERS]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout.readline() == "[1, 2]\n"
        process.kill()
        # The output ends when no worker has it open.
        assert process.communicate(timeout=60) == ("", None)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
