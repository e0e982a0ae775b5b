r"""Exports the grounding network or the I3D network of a trained model to ONNX.

Example:
    python -m export.onnx --preset=gkcmn_shapes --output=grounding.onnx
    python -m export.onnx --preset=gkcmn_shapes --output=i3d.onnx --network=i3d

`export.networks` describes the inputs and outputs; the batch size is dynamic. The vocabulary and
the feature settings are stored as JSON in the metadata, under the key `gkcmn`.
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

from gkcmn_tf import preset, program
from gkcmn_tf.files import write_bytes

from . import networks

FLAGS = flags.FLAGS
METADATA_KEY = "gkcmn"


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_string(
        "preset",
        "gkcmn_shapes",
        "Trained model: name or folder of a preset, hf://owner/name, or folder of a run of "
        "gkcmn_tf.train.",
    )
    flags.DEFINE_string("output", None, "Output file, *.onnx.", required=True)
    flags.DEFINE_enum("network", "grounding", networks.NETWORKS, "Network to export.")
    flags.DEFINE_string(
        "i3d_weights", None, "Location of the I3D weights; default: the location used in training."
    )


def main(argv):
    """Converts the network, compares it with TensorFlow and writes the file."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    logging.set_verbosity(logging.INFO)
    trained = preset.load(FLAGS.preset)
    if FLAGS.network == "i3d":
        network = networks.i3d(trained.features, FLAGS.i3d_weights)
    else:
        network = networks.grounding(trained)
    content = convert(network)
    logging.info("largest differences from TensorFlow: %s", differences(network, content))
    write_bytes(FLAGS.output, content)
    logging.info("%s: %.1f MB", FLAGS.output, len(content) / 1e6)


def convert(network: networks.Network) -> bytes:
    """Converts a network to the content of an ONNX file."""
    model = _Exported(network)
    inputs = {
        name: keras.InputSpec(shape=(None, *spec.shape[1:]), dtype=spec.dtype.name, name=name)
        for name, spec in network.inputs.items()
    }
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.onnx")
        model.export(path, format="onnx", input_signature=[inputs], verbose=False)
        exported = onnx.load(path)
    metadata = {"network": network.name} | network.metadata
    onnx.helper.set_model_props(exported, {METADATA_KEY: json.dumps(metadata, ensure_ascii=False)})
    return exported.SerializeToString()


def differences(network: networks.Network, content: bytes, seed: int = 0) -> dict[str, float]:
    """Returns the maximum absolute difference of each output from TensorFlow, on random inputs."""
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
    if spec.dtype.is_floating:
        return rng.random(spec.shape).astype(spec.dtype.as_numpy_dtype)
    # Token ids that exist in every vocabulary, a mask of valid steps, or pixels.
    high = 256 if spec.dtype == tf.uint8 else 3
    return rng.integers(1, high, spec.shape).astype(spec.dtype.as_numpy_dtype)


class _Exported(keras.Model):
    """Wraps a network for the Keras exporter."""

    def __init__(self, network):
        super().__init__(name="exported")
        self.tracked = network.model
        self.function = network.function
        self.built = True

    def call(self, inputs):
        return self.function(**inputs)


if __name__ == "__main__":
    program.run(main, define_flags)
