"""Training on a GPU in each precision and with two replicas, at the paper's sizes."""

import subprocess
import sys

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


def create(precision, inputs):
    """GKCMN of the paper's size, and its optimizer."""
    model = GKCMN(200, dtype=precision)
    model.build({name: (None, *value.shape[1:]) for name, value in inputs.items()})
    model.built = True
    optimizer = keras.optimizers.Adam(1e-3)
    if precision == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(model.trainable_variables)
    return model, optimizer


def update(model, optimizer, inputs, labels):
    """Updates the weights; returns the loss and whether each gradient was finite."""
    with tf.GradientTape() as tape:
        outputs = model(inputs, training=True)
        loss = model.normalized_losses(inputs, labels, outputs)["loss"]
        scaled = optimizer.scale_loss(loss)
    gradients = tape.gradient(scaled, model.trainable_variables)
    optimizer.apply(gradients, model.trainable_variables)
    return loss, [tf.reduce_all(tf.math.is_finite(gradient)) for gradient in gradients]


@pytest.mark.parametrize("shape", [(4, 48), (8, 200), (32, 200)], ids=lambda s: f"{s[0]}x{s[1]}")
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_every_gradient_is_finite(precision, shape):
    keras.utils.set_random_seed(0)
    batch = synthetic_batch(*shape)
    model, optimizer = create(precision, batch[0])
    inputs, labels = tf.nest.map_structure(tf.constant, batch)
    step = tf.function(lambda: update(model, optimizer, inputs, labels))
    values, finite = [], []
    for _ in range(STEPS):
        loss, of_step = step()
        values.append(float(loss))
        finite.append([bool(value) for value in of_step])
    assert np.isfinite(values).all()
    names = [variable.path for variable in model.trainable_variables]
    # The initial loss scale is large and is halved until gradients fit into float16.
    settled = finite[STEPS // 2 :] if precision == "mixed_float16" else finite
    broken = {names[i] for row in settled for i in np.flatnonzero(np.logical_not(row))}
    assert not broken
    assert values[-1] < values[0]


def test_mixed_float16_trains_like_float32():
    curves = [losses(precision, (4, 48), steps=200) for precision in ("float32", "mixed_float16")]
    assert np.isfinite(curves).all()
    float32, float16 = np.array(curves)
    # The same curve within its noise: the curves of two seeds differ more.
    ends = [curve[-20:].mean() for curve in (float32, float16)]
    other_seed = losses("float32", (4, 48), steps=200, seed=1)[-20:]
    assert ends[1] < 0.5 * float16[0]
    assert abs(ends[1] - ends[0]) <= max(abs(np.mean(other_seed) - ends[0]), 0.1 * ends[0])


def losses(precision, shape, *, steps, seed=0):
    """Loss of each step of a training on one batch."""
    keras.utils.set_random_seed(seed)
    batch = synthetic_batch(*shape)
    model, optimizer = create(precision, batch[0])
    inputs, labels = tf.nest.map_structure(tf.constant, batch)
    step = tf.function(lambda: update(model, optimizer, inputs, labels)[0])
    return np.array([float(step()) for _ in range(steps)])


REPLICAS = """
import sys
import keras, numpy as np, tensorflow as tf
from gkcmn_tf.training.trainer import Trainer
from tests.gkcmn_tf.modeling.test_gpu import create, synthetic_batch
replicas, device = int(sys.argv[1]), sys.argv[2]
half = tf.config.LogicalDeviceConfiguration(8192 if device == "GPU" else None)
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices(device)[0], [half] * replicas
)
# NCCL, the default, does not support two replicas on one GPU, and waits forever.
strategy = tf.distribute.MirroredStrategy(
    [f"{device}:{i}" for i in range(replicas)],
    cross_device_ops=tf.distribute.HierarchicalCopyAllReduce(),
)
inputs, labels = synthetic_batch(4, 24)
keras.utils.set_random_seed(0)
with strategy.scope():
    model, optimizer = create("float32", inputs)
examples = tf.data.Dataset.from_tensor_slices((inputs, labels))
options = tf.data.Options()
options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
batches = examples.batch(4, drop_remainder=True).with_options(options).repeat()
trainer = Trainer(
    model, optimizer, strategy.experimental_distribute_dataset(batches), strategy,
    step=tf.Variable(0, dtype=tf.int64),
)
for _ in range(3):
    print(trainer.train(tf.constant(1))["loss"])
"""


def test_two_replicas_on_one_gpu_train_like_one():
    printed = []
    for replicas in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", REPLICAS, replicas, "GPU"],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        printed.append([float(line) for line in done.stdout.split()])
    one, two = printed
    assert len(one) == 3
    np.testing.assert_allclose(two, one, rtol=1e-3)
