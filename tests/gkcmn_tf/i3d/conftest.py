"""Random weights in the formats in which I3D is published, and their activations."""

import numpy as np
import pytest
import tensorflow as tf

from gkcmn_tf.i3d import loading, weight_sources
from tests.gkcmn_tf.i3d.reference_i3d import (
    NAMES_AND_SHAPES,
    ReferenceI3D,
    assign,
    draw,
    save_checkpoint,
)


@pytest.fixture(scope="session")
def values():
    rng = np.random.default_rng(5)
    return {name: draw(name, shape, rng) for name, shape in NAMES_AND_SHAPES.items()}


@pytest.fixture(scope="session")
def clips():
    rng = np.random.default_rng(6)
    return {
        "short": rng.uniform(-1, 1, (2, 8, 64, 48, 3)).astype("float32"),
        "long": rng.uniform(-1, 1, (1, 9, 224, 224, 3)).astype("float32"),
    }


@pytest.fixture(scope="session")
def published(values, clips, tmp_path_factory):
    """A module in TF1 Hub format, its `Mixed_5c` on the short and its logits on the long clip."""
    folder = tmp_path_factory.mktemp("i3d") / "module"
    shapes = {
        name: [1, 1, 1, 1, *shape] if "batch_norm" in name else shape
        for name, shape in NAMES_AND_SHAPES.items()
    }
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        rgb = tf.compat.v1.placeholder(tf.float32, [None, None, None, None, 3])
        reference = ReferenceI3D(shapes)
        features, logits = reference(rgb)
        assign(session, reference.variables, values)
        builder = tf.compat.v1.saved_model.Builder(str(folder))
        signature = tf.compat.v1.saved_model.predict_signature_def(
            {"rgb_input": rgb}, {"default": logits}
        )
        builder.add_meta_graph_and_variables(session, [], {"default": signature})
        builder.save()
        results = {
            "features": session.run(features, {rgb: clips["short"]}),
            "logits": session.run(logits, {rgb: clips["long"]}),
        }
    # Marks a SavedModel as a TF1 Hub module: format version 3 as a protocol buffer.
    (folder / "tfhub_module.pb").write_bytes(b"\x08\x03")
    return str(folder), results


@pytest.fixture(scope="session")
def checkpoint(values, tmp_path_factory):
    return save_checkpoint(values, tmp_path_factory.mktemp("checkpoint") / "model.ckpt")


@pytest.fixture(scope="session")
def features_model(published):
    return loading.load_i3d(published[0])


@pytest.fixture(scope="session")
def random_variables():
    return weight_sources.read_variables("random:3")
