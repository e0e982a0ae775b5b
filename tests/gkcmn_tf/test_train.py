"""The training program: replicas and workers, interruption and resuming, and a NaN loss."""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing import event_accumulator

from gkcmn_tf import config as configs
from gkcmn_tf import train
from gkcmn_tf.features import feature_records
from gkcmn_tf.files import read_json
from gkcmn_tf.out_of_distribution import feature_distance
from gkcmn_tf.training import checkpoints, run_folder, statistics
from tests.gkcmn_tf.tiny_records import FRAMES, write_records

ROOT = pathlib.Path(__file__).parents[2]
STEPS = 50
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    write_records(folder)
    return folder


def config(folder, override=""):
    override = f"data.records_dir={folder}" + (f",{override}" if override else "")
    return configs.load("bm", [f"{folder}/config.yaml"], override)


def train_here(folder, model_dir, strategy, override=""):
    experiment = config(folder, override)
    controller = train.create_controller(experiment, str(model_dir), strategy)
    train.train(controller, experiment.train, evaluate=True)
    return controller


def command(folder, model_dir, *, override="", mode="train_and_eval"):
    override = f"data.records_dir={folder}" + (f",{override}" if override else "")
    return [
        *(sys.executable, "-m", "gkcmn_tf.train", "--experiment=bm"),
        f"--config_file={folder}/config.yaml",
        f"--params_override={override}",
        f"--model_dir={model_dir}",
        f"--mode={mode}",
    ]


class Process:
    """A program that runs in the background."""

    def __init__(self, arguments, **environment):
        # A file cannot fill up, unlike a pipe that is not read.
        self._output = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            arguments,
            cwd=ROOT,
            env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | environment,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )

    def output(self):
        self._output.seek(0)
        return self._output.read()

    def finish(self, code=0):
        assert self._process.wait(timeout=3600) == code, self.output()
        return self.output()

    def kill_after(self, model_dir, step):
        """Sends SIGKILL as soon as there is a checkpoint of that step or a later one."""
        while not any(saved >= step for saved in saved_steps(model_dir)):
            assert self._process.poll() is None, self.output()
            time.sleep(0.001)
        self.kill()

    def kill(self):
        self._process.kill()
        self._process.wait()


def saved_steps(model_dir):
    return [int(path.name[5:-6]) for path in model_dir.glob("ckpt-*.index")]


def curve(model_dir, name="loss"):
    """Returns the last written value of a scalar at every step."""
    events = event_accumulator.EventAccumulator(str(model_dir / "train"), {"tensors": 0})
    events.Reload()
    values = {e.step: float(tf.make_ndarray(e.tensor_proto)) for e in events.Tensors(name)}
    return [values[step] for step in sorted(values)]


def weights(model_dir):
    return run_folder.load(str(model_dir)).model.get_weights()


@pytest.fixture(scope="module")
def one_replica(folder, tmp_path_factory):
    """Folder of a run on one device."""
    model_dir = tmp_path_factory.mktemp("one")
    train_here(folder, model_dir, tf.distribute.OneDeviceStrategy("CPU:0"))
    assert len(curve(model_dir)) == STEPS
    return model_dir


def test_statistics_are_computed_from_the_first_batches(folder, one_replica):
    found = read_json(str(one_replica / statistics.STATISTICS_FILE))
    best = one_replica / checkpoints.BEST_FOLDER / statistics.STATISTICS_FILE
    assert read_json(str(best)) == found
    assert found["clips"]["count"] == 9
    assert found["clips"]["frames"] == {"min": FRAMES, "median": FRAMES, "max": FRAMES}
    assert found["clips"]["seconds_per_step"]["max"] == pytest.approx(4 / 25)
    features = found["features"]
    assert features["clips_sampled"] == 9  # 8 batches of 4 are more than two epochs
    encoder = run_folder.load(str(one_replica)).model.video_encoder
    np.testing.assert_allclose(features["channel_mean"], encoder.mean.numpy(), rtol=1e-5)
    videos = [feature_records.read_video_features(str(folder), f"v{i}").features for i in range(9)]
    distances = [feature_distance(video, found) for video in videos]
    assert features["distance"]["max"] == pytest.approx(max(distances), rel=1e-4)
    assert features["distance"]["median"] == pytest.approx(np.median(distances), rel=1e-4)


def test_a_resumed_run_without_statistics_computes_them_from_the_first_batches(
    folder, one_replica, tmp_path
):
    model_dir = tmp_path / "run"
    shutil.copytree(one_replica, model_dir)
    path = model_dir / statistics.STATISTICS_FILE
    before = path.read_bytes()
    path.unlink()
    train.create_controller(
        config(folder), str(model_dir), tf.distribute.OneDeviceStrategy("CPU:0")
    )
    assert path.read_bytes() == before


def test_missing_gpus_are_an_error_before_anything_is_written(folder, tmp_path):
    model_dir = tmp_path / "run"
    output = Process(command(folder, model_dir, override="runtime.num_gpus=64")).finish(code=2)
    assert "runtime.num_gpus: 64 requested, but TensorFlow finds" in output
    assert not model_dir.exists()


@pytest.mark.parametrize(
    ("present", "wanted", "message"),
    [
        (
            0,
            1,
            r"num_gpus: 1 requested, but TensorFlow finds 0 on .*num_gpus=0 to train on the CPU",
        ),
        (1, 2, r"num_gpus: 2 requested, but TensorFlow finds 1 on .*num_gpus=1, or install"),
    ],
)
def test_missing_gpus_are_counted(present, wanted, message, monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["GPU"] * present)
    with pytest.raises(ValueError, match=message):
        train.create_strategy(
            configs.RuntimeConfig(distribution_strategy="mirrored", num_gpus=wanted)
        )


def test_two_replicas_have_the_same_loss_curve_as_one(folder, one_replica, two_replicas, tmp_path):
    train_here(folder, tmp_path, two_replicas)
    np.testing.assert_allclose(curve(tmp_path), curve(one_replica), rtol=1e-5)


def cluster(size):
    """`TF_CONFIG` of each worker."""
    sockets = [socket.socket() for _ in range(size)]
    for each in sockets:
        each.bind(("localhost", 0))
    addresses = [f"localhost:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    return [
        json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": i}})
        for i in range(size)
    ]


def start_workers(folder, model_dir):
    arguments = command(
        folder, model_dir, override="runtime.distribution_strategy=multi_worker_mirrored"
    )
    return [Process(arguments, TF_CONFIG=task) for task in cluster(2)]


def test_two_workers_have_the_same_loss_curve_as_one_replica(folder, one_replica, tmp_path):
    for worker in start_workers(folder, tmp_path):
        worker.finish()
    np.testing.assert_allclose(curve(tmp_path), curve(one_replica), rtol=1e-5)


def test_a_run_that_loses_a_worker_is_resumed_by_restarting_all_workers(
    folder, one_replica, tmp_path
):
    workers = start_workers(folder, tmp_path)
    workers[1].kill_after(tmp_path, 5)
    # An orchestrator also ends the other workers, which wait for the lost one.
    workers[0].kill()
    assert max(saved_steps(tmp_path)) < STEPS
    for worker in start_workers(folder, tmp_path):
        worker.finish()
    np.testing.assert_allclose(curve(tmp_path), curve(one_replica), rtol=1e-5)


def test_a_killed_and_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(folder, tmp_path):
    # All sources of randomness in training; Muon has the state of Adam, too.
    override = (
        "model.bm.feature_dropout=0.5,train.ema_momentum=0.9,train.decay_steps=20,"
        "train.optimizer=muon"
    )
    Process(command(folder, tmp_path / "whole", override=override)).finish()
    broken = command(folder, tmp_path / "killed", override=override)
    for step in (5, 20):
        Process(broken).kill_after(tmp_path / "killed", step)
    assert max(saved_steps(tmp_path / "killed")) < STEPS
    Process(broken).finish()
    assert curve(tmp_path / "killed") == curve(tmp_path / "whole")
    for a, b in zip(weights(tmp_path / "killed"), weights(tmp_path / "whole"), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_damaged_newest_checkpoint_is_replaced_by_the_previous_one(folder, one_replica, tmp_path):
    Process(command(folder, tmp_path, override="train.steps=20")).finish()
    (data,) = tmp_path.glob("ckpt-20.data*")
    data.write_bytes(data.read_bytes()[:500])
    output = Process(command(folder, tmp_path)).finish()
    assert "ckpt-20: cannot be restored: " in output
    np.testing.assert_allclose(curve(tmp_path), curve(one_replica), rtol=1e-5)


def test_the_best_checkpoint_can_be_loaded_as_a_run(folder, one_replica):
    best = run_folder.load(str(one_replica / checkpoints.BEST_FOLDER))
    assert best.step in (20, 40, 50)
    metric = read_json(str(one_replica / checkpoints.BEST_FOLDER / checkpoints.BEST_FILE))
    assert 0 <= metric <= 1


def test_a_nonfinite_loss_stops_the_run_and_reports_the_sentences_of_its_batch(folder, tmp_path):
    arguments = command(folder, tmp_path, override="train.learning_rate=1e30,train.clip_norm=0")
    output = Process(arguments).finish(code=1)
    failure = read_json(str(tmp_path / train.FAILURE_FILE))
    assert f"not finite at step {failure['step']}" in output
    assert failure["sentences"]
    assert set(failure["sentences"]) <= {f"s{i}" for i in range(18)}
    assert all(step <= failure["step"] for step in saved_steps(tmp_path))


def test_events_that_cannot_be_written_are_one_line():
    message = "/r/eval/events: Failed to flush 1 events\n\tCould not flush events file."
    expected = "^r: events for TensorBoard cannot be written"
    with pytest.raises(ValueError, match=expected), train.full_disk_named("r"):
        raise tf.errors.OutOfRangeError(None, None, message)
    with pytest.raises(tf.errors.OutOfRangeError), train.full_disk_named("r"):
        raise tf.errors.OutOfRangeError(None, None, "End of sequence")
