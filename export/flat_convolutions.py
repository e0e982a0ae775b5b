"""Converts 3D convolution layers to 2D operations, for TensorFlow Lite.

TensorFlow Lite's 3D convolution is float-only and single-threaded. A 3D convolution equals a 2D
convolution over frames with their neighbouring frames concatenated as channels. Results are the
same up to the order of summation.
"""

import functools

import keras
import numpy as np
from keras import ops

from gkcmn_tf.i3d.layers import frames_seen


def flatten_convolutions(model: keras.Model) -> keras.Model:
    """Replaces the computation of every `Conv3D` by 2D operations.

    The weights are unchanged. Inputs `[B, F, H, W, C]` must have a static number of frames. Layers
    must have SAME padding, no dilation and one group.

    Args:
        model: model to convert in place.

    Returns:
        `model`.
    """
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Conv3D):
            layer.call = functools.partial(_convolve, layer)
    return model


def _convolve(layer, clips):
    _check(layer)
    num_frames = clips.shape[1]
    seen = frames_seen(num_frames, layer.kernel_size[0], layer.strides[0])
    # Taps that only cover padding contribute nothing.
    taps = np.flatnonzero(((seen >= 0) & (seen < num_frames)).any(axis=1))
    before, after = max(-int(seen[taps].min()), 0), max(int(seen[taps].max()) - num_frames + 1, 0)
    clips = ops.cast(clips, layer.compute_dtype)
    if before or after:
        clips = ops.pad(clips, [[0, 0], [before, after], [0, 0], [0, 0], [0, 0]])
    stride, out = layer.strides[0], seen.shape[1]
    starts = (seen[taps, 0] + before).tolist()
    stacked = [clips[:, s : s + stride * (out - 1) + 1 : stride] for s in starts]
    pictures = _as_pictures(ops.concatenate(stacked, axis=-1) if len(stacked) > 1 else stacked[0])
    kernel = ops.cast(layer.kernel, layer.compute_dtype)
    kernel = ops.concatenate([kernel[int(tap)] for tap in taps], axis=-2)
    x = ops.conv(
        pictures, kernel, strides=layer.strides[1:], padding="same", data_format="channels_last"
    )
    if layer.use_bias:
        x = ops.add(x, ops.cast(layer.bias, layer.compute_dtype))
    return _as_clips(x if layer.activation is None else layer.activation(x), out)


def _check(layer):
    if layer.padding != "same" or set(layer.dilation_rate) != {1} or layer.groups != 1:
        raise ValueError(
            f"{layer.name}: expected SAME padding, no dilation and one group, got padding "
            f"{layer.padding!r}, dilation {layer.dilation_rate} and {layer.groups} groups"
        )


def _as_pictures(clips):
    return ops.reshape(clips, (-1, *clips.shape[2:]))


def _as_clips(pictures, num_frames):
    return ops.reshape(pictures, (-1, num_frames, *pictures.shape[1:]))
