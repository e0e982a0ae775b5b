r"""Writes a trained run, or its I3D, as an ONNX file, through Keras's exporter.

Example:
    python -m export.onnx --model_dir=runs/demo --output=grounding.onnx
    python -m export.onnx --model_dir=runs/demo --output=i3d.onnx --network=i3d

`export.networks` says what goes in and out; the batch is of any size. All else that is needed to
run a file (vocabulary, how features are made) is JSON in its metadata, under `gkcmn`.
"""

import json
import os
import tempfile

import keras
import numpy as np
import onnx
import onnxruntime
import tensorflow as tf
from absl import app, flags, logging

from gkcmn_tf import program
from gkcmn_tf.files import write_bytes
from gkcmn_tf.training import run_folder

from . import networks

FLAGS = flags.FLAGS
METADATA_KEY = "gkcmn"


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_string("model_dir", None, "Folder of a run of gkcmn_tf.train.", required=True)
    flags.DEFINE_string("output", None, "File to write, *.onnx.", required=True)
    flags.DEFINE_enum(
        "network", "grounding", networks.NETWORKS, "The model, or the I3D in front of it."
    )
    flags.DEFINE_string("i3d_weights", None, "Where the I3D weights lie now, if elsewhere.")


def main(argv):
    """Converts, checks against TensorFlow, writes."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    logging.set_verbosity(logging.INFO)
    run = run_folder.load(FLAGS.model_dir)
    if FLAGS.network == "i3d":
        network = networks.i3d(run.features, FLAGS.i3d_weights)
    else:
        network = networks.grounding(run)
    content = convert(network)
    logging.info("largest differences from TensorFlow: %s", differences(network, content))
    write_bytes(FLAGS.output, content)
    logging.info("%s: %.1f MB", FLAGS.output, len(content) / 1e6)


def convert(network: networks.Network) -> bytes:
    """The network as ONNX."""
    model = _Exported(network)
    inputs = {
        name: keras.InputSpec(shape=(None, *spec.shape[1:]), dtype=spec.dtype.name, name=name)
        for name, spec in network.inputs.items()
    }
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.onnx")
        model.export(path, format="onnx", input_signature=[inputs], verbose=False)
        made = onnx.load(path)
    told = {"network": network.name} | network.metadata
    onnx.helper.set_model_props(made, {METADATA_KEY: json.dumps(told, ensure_ascii=False)})
    return made.SerializeToString()


def differences(network: networks.Network, content: bytes, seed: int = 0) -> dict[str, float]:
    """Largest absolute difference of each output under onnxruntime from TensorFlow's, on noise."""
    rng = np.random.default_rng(seed)
    inputs = {name: _noise(rng, spec) for name, spec in network.inputs.items()}
    session = onnxruntime.InferenceSession(content)
    names = [output.name for output in session.get_outputs()]
    found = dict(zip(names, session.run(names, inputs), strict=True))
    expected = network.function(**{name: tf.constant(value) for name, value in inputs.items()})
    return {
        name: float(np.abs(found[name] - np.asarray(value)).max())
        for name, value in expected.items()
    }


def _noise(rng, spec):
    if spec.dtype == tf.bool:
        return np.ones(spec.shape, bool)
    if spec.dtype.is_floating:
        return rng.random(spec.shape).astype(spec.dtype.as_numpy_dtype)
    # Tokens of words that every vocabulary has; pixels of any value.
    high = 256 if spec.dtype == tf.uint8 else 3
    return rng.integers(1, high, spec.shape).astype(spec.dtype.as_numpy_dtype)


class _Exported(keras.Model):
    """A network as Keras's exporter wants it."""

    def __init__(self, network):
        super().__init__(name="exported")
        self.tracked = network.model
        self.function = network.function
        self.built = True

    def call(self, inputs):
        return self.function(**inputs)


if __name__ == "__main__":
    program.run(main, define_flags)
