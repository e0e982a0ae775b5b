"""Results do not depend on the settings in the user's keras.json."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np

ROOT = pathlib.Path(__file__).parents[3]
PROGRAM = """
import sys
import numpy as np
import keras
import gkcmn_tf
from gkcmn_tf import preset
from gkcmn_tf.i3d import load_i3d
trained = preset.load("gkcmn_shapes")
rng = np.random.default_rng(0)
inputs = {
    "features": rng.random((2, trained.max_steps, *trained.features["shape"])).astype("float32"),
    "step_mask": np.ones((2, trained.max_steps), bool),
    "tokens": trained.tokenizer([["the red square moves left"], ["the small disk"]]),
}
outputs = trained.model(inputs)
segments, scores = trained.model.segments(inputs, outputs)
boxes = trained.model.decode(inputs, outputs)["boxes"]
features = load_i3d("random:0")(rng.random((1, 8, 64, 64, 3)).astype("float32"))
bm = gkcmn_tf.BM(5, video_width=8, word_width=8, sentence_width=8, fusion_width=8, dtype="float32")
small = {"features": inputs["features"][:, :4, :, :, :3], "step_mask": inputs["step_mask"][:, :4]}
baseline = bm(small | {"tokens": np.array([[[2, 3]], [[4, 0]]], "int32")})
shapes = [tuple(value.shape) for _, value in sorted(baseline.items())]
print(keras.config.image_data_format(), keras.config.floatx(), shapes)
np.savez(sys.argv[1], *map(keras.ops.convert_to_numpy, (segments, scores, boxes, features)))
"""


def run(folder, **settings):
    folder.mkdir()
    (folder / "keras.json").write_text(json.dumps({"backend": "tensorflow"} | settings))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder / "found.npz")],
        env=os.environ | {"KERAS_HOME": str(folder)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split(maxsplit=2), np.load(folder / "found.npz")


def test_data_format_and_float_type_are_those_of_the_project(tmp_path):
    (*_, shapes), expected = run(tmp_path / "usual")
    other = {"image_data_format": "channels_first", "floatx": "float16"}
    (data_format, floatx, other_shapes), found = run(tmp_path / "other", **other)
    assert (data_format, floatx, other_shapes) == ("channels_first", "float16", shapes)
    for name in expected:
        assert found[name].dtype == expected[name].dtype
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-6)
