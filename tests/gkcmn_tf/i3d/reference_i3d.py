"""Independent implementation of I3D in TF1 operations for published weights; no tests."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import tensorflow as tf

NAMES_AND_SHAPES = json.loads(
    pathlib.Path(__file__).with_name("i3d_variables.json").read_text(encoding="utf-8")
)


SCOPE = "RGB/inception_i3d/"


class ReferenceI3D:
    """Independent implementation of I3D in TF1 operations on variables found by name."""

    def __init__(self, shapes):
        self.variables = {
            name: tf.compat.v1.get_variable(name, shape, use_resource=False)
            for name, shape in shapes.items()
        }

    def unit(self, x, name, stride=1):
        v = {
            key: self.variables[f"{SCOPE}{name}/{key}"]
            for key in (
                "conv_3d/w",
                "batch_norm/beta",
                "batch_norm/moving_mean",
                "batch_norm/moving_variance",
            )
        }
        x = tf.nn.conv3d(x, v["conv_3d/w"], [1, stride, stride, stride, 1], "SAME")
        x = (x - v["batch_norm/moving_mean"]) * tf.math.rsqrt(
            v["batch_norm/moving_variance"] + 1e-3
        ) + v["batch_norm/beta"]
        return tf.nn.relu(x)

    def mixed(self, x, name):
        last = "Conv3d_0a_3x3" if name == "Mixed_5b" else "Conv3d_0b_3x3"
        b0 = self.unit(x, f"{name}/Branch_0/Conv3d_0a_1x1")
        b1 = self.unit(x, f"{name}/Branch_1/Conv3d_0a_1x1")
        b1 = self.unit(b1, f"{name}/Branch_1/Conv3d_0b_3x3")
        b2 = self.unit(x, f"{name}/Branch_2/Conv3d_0a_1x1")
        b2 = self.unit(b2, f"{name}/Branch_2/{last}")
        b3 = tf.nn.max_pool3d(x, [1, 3, 3, 3, 1], [1, 1, 1, 1, 1], "SAME")
        b3 = self.unit(b3, f"{name}/Branch_3/Conv3d_0b_1x1")
        return tf.concat([b0, b1, b2, b3], 4)

    def __call__(self, clips):
        x = self.unit(clips, "Conv3d_1a_7x7", stride=2)
        x = tf.nn.max_pool3d(x, [1, 1, 3, 3, 1], [1, 1, 2, 2, 1], "SAME")
        x = self.unit(x, "Conv3d_2b_1x1")
        x = self.unit(x, "Conv3d_2c_3x3")
        x = tf.nn.max_pool3d(x, [1, 1, 3, 3, 1], [1, 1, 2, 2, 1], "SAME")
        for letter in "bc":
            x = self.mixed(x, f"Mixed_3{letter}")
        x = tf.nn.max_pool3d(x, [1, 3, 3, 3, 1], [1, 2, 2, 2, 1], "SAME")
        for letter in "bcdef":
            x = self.mixed(x, f"Mixed_4{letter}")
        x = tf.nn.max_pool3d(x, [1, 2, 2, 2, 1], [1, 2, 2, 2, 1], "SAME")
        for letter in "bc":
            x = self.mixed(x, f"Mixed_5{letter}")
        features = x
        x = tf.nn.avg_pool3d(x, [1, 2, 7, 7, 1], [1, 1, 1, 1, 1], "VALID")
        head = f"{SCOPE}Logits/Conv3d_0c_1x1/conv_3d"
        x = tf.nn.conv3d(x, self.variables[f"{head}/w"], [1, 1, 1, 1, 1], "SAME")
        x = tf.squeeze(x + self.variables[f"{head}/b"], [2, 3])
        return features, tf.reduce_mean(x, axis=1)


def draw(name, shape, rng):
    kind = name.rsplit("/", 1)[1]
    if kind == "w":
        return rng.normal(0, np.sqrt(2 / np.prod(shape[:-1])), shape).astype("float32")
    if kind == "moving_variance":
        return rng.uniform(0.5, 1.5, shape).astype("float32")
    return rng.normal(0, 0.2, shape).astype("float32")


def assign(session, variables, values):
    """Sets all variables in one run of the session, so that they are not constants of the graph."""
    feeds = {
        tf.compat.v1.placeholder(variable.dtype.base_dtype, variable.shape): name
        for name, variable in variables.items()
    }
    assignments = [variables[name].assign(placeholder) for placeholder, name in feeds.items()]
    session.run(
        [assignment.op for assignment in assignments],
        {p: np.reshape(values[name], variables[name].shape) for p, name in feeds.items()},
    )


def save_checkpoint(values, prefix):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        variables = {
            name: tf.compat.v1.get_variable(name, value.shape, value.dtype, use_resource=False)
            for name, value in values.items()
        }
        assign(session, variables, values)
        saver = tf.compat.v1.train.Saver(variables)
        return saver.save(session, str(prefix), write_meta_graph=False)


def relative_difference(a, b):
    return np.abs(np.asarray(a) - np.asarray(b)).max() / np.abs(b).max()


def call_program(name, *arguments):
    """Returns the output of `python -m gkcmn_tf.i3d NAME`."""
    done = subprocess.run(
        [sys.executable, "-m", "gkcmn_tf.i3d", name, *arguments],
        cwd=pathlib.Path(__file__).parents[3],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
