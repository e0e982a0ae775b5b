"""Training on a GPU: every gradient is finite, in each precision, at several shapes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from gkcmn_tf.modeling.gkcmn import GKCMN

GPUS = tf.config.list_physical_devices("GPU")
N, S, C = 20, 7, 1024
STEPS = 20

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not GPUS, reason="TensorFlow sees no GPU on this machine"),
]


def synthetic_batch(clips, steps):
    """Clips of different lengths with one sentence each; inputs and labels of `GroundingModel`."""
    rng = np.random.default_rng(0)
    num_steps = rng.integers(steps // 2, steps + 1, clips)
    step_mask = np.arange(steps) < num_steps[:, None]
    begin = rng.integers(0, num_steps // 2)
    segment = np.stack([begin, begin + rng.integers(2, num_steps // 2)], -1).astype("float32")
    centers = np.arange(steps) + 0.5
    box_mask = (centers >= segment[:, :1]) & (centers < segment[:, 1:])
    corners = np.sort(rng.random((clips, steps, 2, 2)), axis=-2).reshape(clips, steps, 4)
    words = rng.integers(2, N + 1, clips)
    tokens = np.where(np.arange(N) < words[:, None], rng.integers(2, 200, (clips, N)), 0)
    inputs = {
        "features": np.maximum(rng.normal(size=(clips, steps, S, S, C)), 0).astype("float16"),
        "step_mask": step_mask,
        "tokens": tokens[:, None].astype("int32"),
    }
    labels = {
        "boxes": (corners * box_mask[..., None])[:, None].astype("float32"),
        "box_mask": box_mask[:, None],
        "segment": segment[:, None],
        "query_mask": np.ones((clips, 1), bool),
    }
    return inputs, labels


@pytest.mark.parametrize("shape", [(4, 48), (8, 200), (32, 200)], ids=lambda s: f"{s[0]}x{s[1]}")
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_every_gradient_is_finite(precision, shape):
    keras.utils.set_random_seed(0)
    inputs, labels = tf.nest.map_structure(tf.constant, synthetic_batch(*shape))
    model = GKCMN(200, dtype=precision)
    model.build({name: (None, *value.shape[1:]) for name, value in inputs.items()})
    model.built = True
    optimizer = keras.optimizers.Adam(1e-3)
    if precision == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(model.trainable_variables)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            outputs = model(inputs, training=True)
            loss = model.normalized_losses(inputs, labels, outputs)["loss"]
            scaled = optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        return loss, [tf.reduce_all(tf.math.is_finite(gradient)) for gradient in gradients]

    losses, finite = [], []
    for _ in range(STEPS):
        loss, of_step = step()
        losses.append(float(loss))
        finite.append([bool(value) for value in of_step])
    assert np.isfinite(losses).all()
    names = [variable.path for variable in model.trainable_variables]
    # The initial loss scale is large and is halved until gradients fit into float16.
    settled = finite[STEPS // 2 :] if precision == "mixed_float16" else finite
    broken = {names[i] for row in settled for i in np.flatnonzero(np.logical_not(row))}
    assert not broken
    assert losses[-1] < losses[0]
