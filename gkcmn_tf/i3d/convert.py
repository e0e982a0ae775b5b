r"""Converts I3D weights to a DeepMind checkpoint or an .npz file.

Examples:
    python -m gkcmn_tf.i3d.convert --i3d_weights=kinetics400 --output=rgb_scratch/model.ckpt
    python -m gkcmn_tf.i3d.convert --i3d_weights=kinetics400 --output=i3d.npz

Both formats use the names and shapes of DeepMind's published checkpoint and are valid values of
--i3d_weights. Random weights are written with calibrated batch-norm statistics, so they give the
same features, but have another fingerprint.

Prints one line of JSON: the output, its fingerprint, and the name of these weights.
"""

import json
import os

import numpy as np
import tensorflow as tf
from absl import app, flags, logging

from gkcmn_tf import program
from gkcmn_tf.files import whole_file
from gkcmn_tf.i3d import published_weights, weight_sources
from gkcmn_tf.i3d.loading import with_statistics

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_string("i3d_weights", published_weights.KINETICS_400, weight_sources.DESCRIPTION)
    flags.DEFINE_string("output", None, "An .npz file, or the prefix of a checkpoint.")
    flags.mark_flag_as_required("output")


def main(argv):
    """Reads and writes the weights, and prints their fingerprint."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    logging.set_verbosity(logging.INFO)
    source = FLAGS.i3d_weights
    variables = with_statistics(weight_sources.read_variables(source), source)
    write_variables(variables, FLAGS.output)
    sha256 = weight_sources.fingerprint(variables)
    known_as = published_weights.known_as(sha256)
    print(json.dumps({"output": FLAGS.output, "sha256": sha256, "known_as": known_as}))


def write_variables(variables: dict[str, np.ndarray], output: str) -> None:
    """Writes I3D's variables atomically.

    Args:
        variables: from `weight_sources.read_variables`.
        output: an `.npz` file; any other name is the prefix of a checkpoint. For DeepMind's
            weights, the index has the same bytes as that of DeepMind's checkpoint.

    Raises:
        ValueError: `output` is a folder.
    """
    if os.path.isdir(output) or not os.path.basename(output):
        raise ValueError(
            f"{output}: is a folder; expected an .npz file or the prefix of a checkpoint, such as "
            f"{os.path.join(output, 'model.ckpt')}"
        )
    if output.endswith(".npz"):
        with whole_file(output) as temporary, open(temporary, "wb") as file:
            np.savez(file, **variables)
        return
    os.makedirs(os.path.dirname(output) or ".", exist_ok=True)
    # The operation writes its two files under temporary names and renames them at the end.
    names = sorted(variables)
    tf.raw_ops.SaveV2(
        prefix=output,
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[variables[name] for name in names],
    )


if __name__ == "__main__":
    program.run(main, define_flags)
