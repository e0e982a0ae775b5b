"""I3D, the Inception-v1 network inflated to video (Carreira and Zisserman, 2017), RGB stream.

The weights are those of the published TF Hub module or checkpoint. The graph is reimplemented, so
that it accepts clips of any length, can run in bfloat16 and with folded batch normalisation, and
can be saved. A unit is convolution (no bias) -> batch normalisation (shift only) -> ReLU, with
TensorFlow's SAME padding, as in DeepMind's Sonnet code.
"""

import keras
import numpy as np

from gkcmn_tf.i3d.layers import HeadPooling, MaxPooling, StemConvolution
from gkcmn_tf.i3d.variables import SCOPE, mixed_units

ENDPOINTS = (
    "Conv3d_1a_7x7",
    "MaxPool3d_2a_3x3",
    "Conv3d_2b_1x1",
    "Conv3d_2c_3x3",
    "MaxPool3d_3a_3x3",
    "Mixed_3b",
    "Mixed_3c",
    "MaxPool3d_4a_3x3",
    "Mixed_4b",
    "Mixed_4c",
    "Mixed_4d",
    "Mixed_4e",
    "Mixed_4f",
    "MaxPool3d_5a_2x2",
    "Mixed_5b",
    "Mixed_5c",
    "Logits",
    "Predictions",
)

# (size, strides) of the pools between blocks, over (time, height, width).
_POOLS = {
    "MaxPool3d_2a_3x3": ((1, 3, 3), (1, 2, 2)),
    "MaxPool3d_3a_3x3": ((1, 3, 3), (1, 2, 2)),
    "MaxPool3d_4a_3x3": ((3, 3, 3), (2, 2, 2)),
    "MaxPool3d_5a_2x2": ((2, 2, 2), (2, 2, 2)),
}
_BATCH_NORM_EPSILON = 1e-3


def build_i3d(
    variables: dict[str, np.ndarray],
    endpoint: str = "Mixed_5c",
    *,
    dtype: str = "float32",
    fold_batch_norm: bool = True,
) -> keras.Model:
    """Builds I3D up to an endpoint.

    Args:
        variables: from `weight_sources.read_variables`.
        endpoint: one of `ENDPOINTS`; `Logits` is averaged over time, `Predictions` is its softmax.
        dtype: dtype of the computation, `float32` or `bfloat16`.
        fold_batch_norm: whether to fold the batch normalisation into the convolutions, which is
            faster and gives the same result (inference only).

    Returns:
        A model from RGB clips `[B, F, H, W, 3]` in [-1, 1], of any F, H and W, to the float32
        endpoint. `Mixed_5c` is `[B, ceil(F / 8), ceil(H / 32), ceil(W / 32), 1024]`. `Logits` and
        `Predictions` are `[B, classes]`, and raise a ValueError for clips of fewer than 9 frames
        or 193x193 pixels.

    Raises:
        ValueError: the endpoint is unknown.
    """
    if endpoint not in ENDPOINTS:
        raise ValueError(f"I3D has no endpoint {endpoint!r}; expected one of {list(ENDPOINTS)}")

    def unit(x, name):
        kernel = variables[f"{SCOPE}{name}/conv_3d/w"]
        beta, mean, variance = (
            variables[f"{SCOPE}{name}/batch_norm/{vector}"]
            for vector in ("beta", "moving_mean", "moving_variance")
        )
        if fold_batch_norm:
            scale = 1 / np.sqrt(variance + _BATCH_NORM_EPSILON)
            kernel = kernel * scale
        layer = StemConvolution if name == "Conv3d_1a_7x7" else keras.layers.Conv3D
        convolution = layer(
            kernel.shape[-1],
            kernel.shape[:3],
            padding="same",
            data_format="channels_last",
            use_bias=fold_batch_norm,
            activation="relu" if fold_batch_norm else None,
            dtype=dtype,
            name=_layer_name(name),
        )
        x = convolution(x)
        convolution.kernel.assign(kernel)
        if fold_batch_norm:
            convolution.bias.assign(beta - mean * scale)
            return x
        normalization = keras.layers.BatchNormalization(
            scale=False,
            epsilon=_BATCH_NORM_EPSILON,
            dtype=dtype,
            name=normalization_name(name),
        )
        x = normalization(x)
        normalization.beta.assign(beta)
        normalization.moving_mean.assign(mean)
        normalization.moving_variance.assign(variance)
        return keras.layers.ReLU(dtype=dtype, name=_layer_name(f"{name}/relu"))(x)

    def pool(x, name, size, strides):
        return MaxPooling(size, strides, dtype=dtype, name=_layer_name(name))(x)

    def mixed(x, name):
        b0, b1_in, b1, b2_in, b2, b3 = mixed_units(name)
        pooled = pool(x, f"{name}/Branch_3/MaxPool3d_0a_3x3", (3, 3, 3), (1, 1, 1))
        branches = [
            unit(x, b0),
            unit(unit(x, b1_in), b1),
            unit(unit(x, b2_in), b2),
            unit(pooled, b3),
        ]
        return keras.layers.Concatenate(dtype=dtype, name=name)(branches)

    def logits(x):
        scope = f"{SCOPE}Logits/Conv3d_0c_1x1/conv_3d"
        classes = variables[f"{scope}/b"].shape[0]
        x = HeadPooling(dtype=dtype, name="Logits_AvgPool3d_0a_7x7")(x)
        convolution = keras.layers.Conv3D(
            classes, 1, data_format="channels_last", dtype=dtype, name="Logits_Conv3d_0c_1x1"
        )
        x = convolution(x)
        convolution.kernel.assign(variables[f"{scope}/w"])
        convolution.bias.assign(variables[f"{scope}/b"])
        return keras.layers.GlobalAveragePooling3D(
            data_format="channels_last", dtype="float32", name="Logits"
        )(x)

    clips = keras.Input((None, None, None, 3), dtype="float32", name="clips")
    x = clips
    for name in ENDPOINTS[: ENDPOINTS.index(endpoint) + 1]:
        if name in _POOLS:
            x = pool(x, name, *_POOLS[name])
        elif name.startswith("Conv3d"):
            x = unit(x, name)
        elif name.startswith("Mixed"):
            x = mixed(x, name)
        elif name == "Logits":
            x = logits(x)
        else:
            x = keras.layers.Softmax(dtype="float32", name=name)(x)
    return keras.Model(
        clips, keras.layers.Identity(dtype="float32", name="features")(x), name="i3d"
    )


def _layer_name(unit: str) -> str:
    """Returns the layer name of a unit of the checkpoint, without slashes as Keras requires."""
    return unit.replace("/", "_")


def normalization_name(unit: str) -> str:
    """Returns the name of the layer that normalises a unit of the checkpoint."""
    return _layer_name(f"{unit}/batch_norm")
