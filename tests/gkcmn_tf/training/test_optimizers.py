"""Learning rate schedule, and Muon against NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from gkcmn_tf import config
from gkcmn_tf.modeling.gkcmn import GKCMN
from gkcmn_tf.training import optimizers

RATE = 0.01


def test_the_schedule_rises_stays_constant_and_falls():
    schedule = optimizers.WarmupThenLateDecay(0.1, 100, warmup_steps=9, decay_steps=40)
    rates = [float(schedule(step)) for step in (0, 4, 9, 59, 60, 80, 100, 120)]
    np.testing.assert_allclose(rates, [0.01, 0.05, 0.1, 0.1, 0.1, 0.05, 0, 0], atol=1e-7)
    again = optimizers.WarmupThenLateDecay.from_config(schedule.get_config())
    assert float(again(80)) == pytest.approx(0.05)
    constant = optimizers.WarmupThenLateDecay(0.2, 100)
    assert [float(constant(step)) for step in (0, 100)] == pytest.approx([0.2, 0.2])


def orthogonalized(matrix):
    """Newton-Schulz iteration with the coefficients of Jordan et al. (2024), in float64."""
    x = matrix / np.linalg.norm(matrix)
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.775 * gram + 2.0315 * gram @ gram) @ x
    return x


@pytest.mark.parametrize(
    ("layer", "input_shape"),
    [
        (keras.layers.Dense(24), (None, 10)),
        (keras.layers.Conv3D(16, 3), (None, 5, 5, 5, 4)),
        (keras.layers.Conv2D(32, 1), (None, 5, 5, 18)),
    ],
)
def test_muon_moves_kernels_like_numpy(layer, input_shape):
    layer.build(input_shape)
    kernel, bias = layer.trainable_variables
    optimizer = optimizers.KernelMuon(RATE)
    adam = keras.optimizers.Adam(RATE)
    other = keras.Variable(bias)
    rng = np.random.default_rng(0)
    matrix = np.reshape(kernel, (-1, kernel.shape[-1])).astype("float64")
    momentum = 0
    for _ in range(3):
        gradient = rng.normal(size=kernel.shape)
        slope = rng.normal(size=bias.shape).astype("float32")
        optimizer.apply([keras.ops.cast(gradient, "float32"), slope], [kernel, bias])
        adam.apply([slope], [other])
        flat = gradient.reshape(matrix.shape)
        momentum = 0.95 * momentum + flat
        direction = flat + 0.95 * momentum
        # The iteration is symmetric; NumPy starts from the wide form.
        is_tall = matrix.shape[0] > matrix.shape[1]
        update = orthogonalized(direction.T).T if is_tall else orthogonalized(direction)
        matrix = matrix - RATE * 0.2 * np.sqrt(max(matrix.shape)) * update
    np.testing.assert_allclose(np.reshape(kernel, matrix.shape), matrix, atol=1e-5)
    np.testing.assert_array_equal(bias, other)


def test_a_muon_update_has_nearly_equal_singular_values():
    layer = keras.layers.Conv2D(16, 3)
    layer.build((None, 5, 5, 8))
    kernel = layer.trainable_variables[0]
    before = np.array(kernel)
    gradient = np.random.default_rng(0).normal(size=kernel.shape) * np.logspace(-2, 0, 16)
    optimizers.KernelMuon(RATE).apply([keras.ops.cast(gradient, "float32")], [kernel])
    update = (before - np.array(kernel)).reshape(-1, 16) / (RATE * 0.2 * np.sqrt(72))
    values = np.linalg.svd(update, compute_uv=False)
    assert np.linalg.cond(gradient.reshape(-1, 16)) > 50
    assert 0.6 < values.min() < values.max() < 1.3


def test_adam_updates_what_is_no_kernel():
    model = GKCMN(10, word_width=8, sentence_width=32, fusion_width=32, temporal_width=32)
    shapes = {"features": (None, 4, 3, 3, 5), "tokens": (None, 1, 6)}
    model.build(shapes)
    optimizer = optimizers.KernelMuon(RATE)
    optimizer.build(model.trainable_variables)
    kernels = {v.path.split("/", 1)[1] for v in model.trainable_variables if optimizer.is_kernel(v)}
    assert kernels == {
        "video_encoder/projection/kernel",
        *(
            f"sentence_encoder/bigru/{way}_gru/gru_cell/{name}"
            for way in ("forward", "backward")
            for name in ("kernel", "recurrent_kernel")
        ),
        *(f"interaction/{name}/kernel" for name in ("w_v1", "w_s1", "w_f2", "w_v2")),
        "mixed_convolution/parallel/convolution_3d/convolution/kernel",
        "mixed_convolution/serial/convolution_2d/convolution/kernel",
        "mixed_convolution/serial/convolution_3d/convolution/kernel",
        "spatial_head/heatmap_block/convolution/kernel",
        "spatial_head/size_block/convolution/kernel",
        *(
            f"temporal_head/{name}/convolution/kernel"
            for name in ("scale_1", "scale_3", "scale_5", "merge", "boundary")
        ),
        "sentence_encoder/attention_0/attention/attention_output/kernel",
        "sentence_encoder/attention_1/attention/attention_output/kernel",
        "temporal_head/attention/attention/attention_output/kernel",
        *(
            f"temporal_head/{branch}/bigru/{way}_gru/gru_cell/{name}"
            for branch in ("score", "boundary")
            for way in ("forward", "backward")
            for name in ("kernel", "recurrent_kernel")
        ),
    }


@pytest.mark.parametrize(("name", "kind"), optimizers.OPTIMIZERS.items())
def test_the_config_selects_the_optimizer(name, kind):
    experiment = config.load("bm", [], f"train.optimizer={name},train.ema_momentum=0.5")
    layer = keras.layers.Dense(16)
    layer.build((None, 4))
    optimizer = optimizers.create_optimizer(experiment, layer)
    assert type(optimizer) is kind
    assert optimizer.built and optimizer.use_ema
    assert float(optimizer.learning_rate) == pytest.approx(experiment.train.learning_rate)
    assert not optimizer.weight_decay


def test_a_checkpoint_restores_the_loss_scale_and_the_steps_since_its_last_change(tmp_path):
    experiment = config.load("bm", [], "runtime.precision=mixed_float16")
    layer = keras.layers.Dense(16)
    layer.build((None, 4))
    optimizer, restored = (optimizers.create_optimizer(experiment, layer) for _ in range(2))
    finite = [np.ones(v.shape, "float32") for v in layer.trainable_variables]
    optimizer.apply(finite)
    optimizer.apply([np.inf * gradient for gradient in finite])  # halves the scale
    for _ in range(2):
        optimizer.apply(finite)
    saved = tf.train.Checkpoint(optimizer=optimizer).save(str(tmp_path / "ckpt"))
    tf.train.Checkpoint(optimizer=restored).restore(saved).assert_consumed()
    assert float(restored.dynamic_scale) == 2.0**14
    assert int(restored.step_counter) == 2
    for a, b in zip(optimizer.variables, restored.variables, strict=True):
        np.testing.assert_array_equal(a, b)
