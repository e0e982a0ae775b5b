"""Converts 3D convolution and pooling layers to 2D operations, for TensorFlow Lite.

TensorFlow Lite has no 3D pooling, and its 3D convolution is float-only and single-threaded. A 3D
convolution equals a 2D convolution over frames with their neighbouring frames concatenated as
channels. 3D max pooling equals spatial max pooling followed by temporal max pooling. Results are
the same up to the order of summation.
"""

import functools

import keras
import numpy as np
from keras import ops


def flatten_convolutions(model: keras.Model) -> keras.Model:
    """Replaces the computation of every `Conv3D` and `MaxPooling3D` by 2D operations.

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
        elif isinstance(layer, keras.layers.MaxPooling3D):
            layer.call = functools.partial(_pool, layer)
    return model


def frames_seen(num_frames: int, size: int, stride: int) -> np.ndarray:
    """Returns the input frame of each tap of a temporal kernel with SAME padding.

    Args:
        num_frames: number of input frames.
        size: kernel size.
        stride: temporal stride.

    Returns:
        int `[size, ceil(num_frames / stride)]`; numbers outside `[0, num_frames)` are padding.
    """
    out = -(-num_frames // stride)
    padding = max((out - 1) * stride + size - num_frames, 0)
    return np.arange(size)[:, None] - padding // 2 + stride * np.arange(out)


def _convolve(layer, clips):
    _check(layer, layer.kernel_size, layer.strides)
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


def _pool(layer, clips):
    _check(layer, layer.pool_size, layer.strides)
    num_frames = clips.shape[1]
    pooled = ops.max_pool(
        _as_pictures(clips), layer.pool_size[1:], layer.strides[1:], "same", "channels_last"
    )
    pooled = _as_clips(pooled, num_frames)
    # The kernel also covers the frame next to the padding, which can therefore replace it.
    seen = frames_seen(num_frames, layer.pool_size[0], layer.strides[0]).clip(0, num_frames - 1)
    if layer.pool_size[0] == 1 and layer.strides[0] == 1:
        return pooled
    taps = np.unique(seen, axis=0)
    return functools.reduce(ops.maximum, [ops.take(pooled, tap, axis=1) for tap in taps])


def _check(layer, size, strides):
    dilation = getattr(layer, "dilation_rate", (1, 1, 1))
    if layer.padding != "same" or set(dilation) != {1} or getattr(layer, "groups", 1) != 1:
        raise ValueError(
            f"{layer.name}: expected SAME padding, no dilation and one group, got kernel {size}, "
            f"strides {strides}, padding {layer.padding!r}, dilation {dilation}"
        )


def _as_pictures(clips):
    return ops.reshape(clips, (-1, *clips.shape[2:]))


def _as_clips(pictures, num_frames):
    return ops.reshape(pictures, (-1, num_frames, *pictures.shape[1:]))
