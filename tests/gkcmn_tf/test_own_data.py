"""From a JSONL file with four sentences to a trained model, as in docs/own_data.md."""

import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest

from gkcmn_tf import config
from gkcmn_tf.modeling import boxes
from gkcmn_tf.video import writing

ROOT = pathlib.Path(__file__).parents[2]
FRAMES, WIDTH, HEIGHT, SIDE = 48, 64, 48, 16
COLOURS = {"red": (220, 30, 30), "blue": (30, 30, 220)}

pytestmark = pytest.mark.slow


def square_boxes(colour):
    """Boxes of a square that moves for 24 frames and stops: red to the right, blue down."""
    moved = np.minimum(np.arange(FRAMES), 24)
    left, top = (2 * moved, 0 * moved + 8) if colour == "red" else (0 * moved + 40, moved)
    return np.stack([left, top, left + SIDE, top + SIDE], axis=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two videos with two sentences each, without a val split."""
    folder = tmp_path_factory.mktemp("own")
    lines = []
    for colour, motion in (("red", "right"), ("blue", "down")):
        places = square_boxes(colour)
        frames = np.full((FRAMES, HEIGHT, WIDTH, 3), 128, np.uint8)
        for frame, (x1, y1, x2, y2) in zip(frames, places, strict=True):
            frame[y1:y2, x1:x2] = COLOURS[colour]
        writing.write_video(str(folder / "videos" / f"{colour}.mp4"), frames, 25)
        for text, begin, end in (
            (f"the {colour} square moves {motion}.", 0, 24),
            (f"the {colour} square stands still.", 24, FRAMES),
        ):
            fields = {"video": f"{colour}.mp4", "sentence": text, "begin": begin, "end": end}
            lines.append(fields | {"boxes": places[begin:end].tolist()})
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    (folder / "train.jsonl").write_text(text, encoding="utf-8")
    return folder


def documented_commands():
    """Returns the arguments of the first block of commands, by program."""
    text = (ROOT / "docs" / "own_data.md").read_text(encoding="utf-8")
    block = re.search(r"```sh\n(.*?)```", text, re.DOTALL)[1].replace("\\\n", "")
    commands = [shlex.split(line) for line in block.splitlines() if line]
    assert all(command[:2] == [".venv/bin/python", "-m"] for command in commands)
    return {command[2]: command[3:] for command in commands}


def call(module, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_documented_commands_train_a_model_that_grounds(folder):
    commands = documented_commands()
    assert list(commands) == ["data.prepare", "gkcmn_tf.train", "gkcmn_tf.ground"]
    here = {
        "my_data": f"{folder}",
        "my_data/videos": f"{folder}/videos",
        "my_data/videos/clip.mp4": f"{folder}/videos/red.mp4",
        "a dog runs.": "the red square moves right.",
        "runs/own/records": f"{folder}/records",
        "runs/own": f"{folder}/run",
    }

    def call_here(module, *changes):
        flags = (flag.split("=", 1) for flag in commands[module])
        return call(
            module, *(f"{name}={here.get(value, value)}" for name, value in flags), *changes
        )

    # Weights that need no download, and fewer computations.
    call_here("data.prepare", "--i3d_weights=random:0")
    override = "data.max_steps=12,train.steps=200,train.decay_steps=100,train.eval_interval=100"
    override += f",data.records_dir={folder}/records"
    done = call_here("gkcmn_tf.train", f"--params_override={override}")
    assert "has no split 'val'" in done.stderr
    tube = json.loads(call_here("gkcmn_tf.ground", f"--output_dir={folder}/drawn").stdout)
    truth = np.float32(square_boxes("red"))
    # vIoU with the true tube of frames 0 to 24.
    overlap = sum(
        float(boxes.iou(np.float32(box), truth[int(frame)]))
        for frame, box in tube["boxes"].items()
        if int(frame) < 24
    )
    assert overlap / max(24, tube["end"]) > 0.5
    assert len(list((folder / "drawn").glob("*.mp4"))) == 1


def test_the_config_accepts_any_weights_and_uses_the_documented_folder():
    experiment = config.load("gkcmn", [str(ROOT / "configs" / "own.yaml")])
    assert experiment.data.i3d_weights == ""
    assert experiment.data.records_dir == "runs/own/records"
    assert experiment.runtime.num_gpus == 0
