"""3D convolutions and poolings computed as 2D ones, for interpreters that lack the former.

TensorFlow Lite has no built-in 3D pooling, and its 3D convolution knows floats alone and runs in
one thread. But a 3D convolution is a 2D one over frames that have the frames around them stacked
on as further channels, and a maximum over space and time is one over space, then one over time:
the same numbers, but for the order of sums.
"""

import functools

import keras
import numpy as np
from keras import ops


def flatten_convolutions(model: keras.Model) -> keras.Model:
    """Makes every `Conv3D` and `MaxPooling3D` inside `model` compute with 2D operations.

    The weights stay what they are. Clips `[B, F, H, W, C]` need a static number of frames; padding
    must be SAME, and the layers are not dilated.

    Returns:
        `model`, changed.
    """
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Conv3D):
            layer.call = functools.partial(_convolve, layer)
        elif isinstance(layer, keras.layers.MaxPooling3D):
            layer.call = functools.partial(_pool, layer)
    return model


def frames_seen(num_frames: int, size: int, stride: int) -> np.ndarray:
    """The frames under each tap of a temporal kernel with SAME padding.

    Returns:
        int `[size, ceil(num_frames / stride)]`; those below 0 or from `num_frames` on are padding.
    """
    out = -(-num_frames // stride)
    padding = max((out - 1) * stride + size - num_frames, 0)
    return np.arange(size)[:, None] - padding // 2 + stride * np.arange(out)


def _convolve(layer, clips):
    _check(layer, layer.kernel_size, layer.strides)
    num_frames = clips.shape[1]
    seen = frames_seen(num_frames, layer.kernel_size[0], layer.strides[0])
    # A tap that only ever meets padding adds nothing.
    taps = np.flatnonzero(((seen >= 0) & (seen < num_frames)).any(axis=1))
    before, behind = max(-int(seen[taps].min()), 0), max(int(seen[taps].max()) - num_frames + 1, 0)
    clips = ops.cast(clips, layer.compute_dtype)
    if before or behind:
        clips = ops.pad(clips, [[0, 0], [before, behind], [0, 0], [0, 0], [0, 0]])
    stride, out = layer.strides[0], seen.shape[1]
    starts = (seen[taps, 0] + before).tolist()
    stacked = [clips[:, s : s + stride * (out - 1) + 1 : stride] for s in starts]
    pictures = _as_pictures(ops.concatenate(stacked, axis=-1) if len(stacked) > 1 else stacked[0])
    kernel = ops.cast(layer.kernel, layer.compute_dtype)
    kernel = ops.concatenate([kernel[int(tap)] for tap in taps], axis=-2)
    x = ops.conv(pictures, kernel, strides=layer.strides[1:], padding="same")
    if layer.use_bias:
        x = ops.add(x, ops.cast(layer.bias, layer.compute_dtype))
    return _as_clips(x if layer.activation is None else layer.activation(x), out)


def _pool(layer, clips):
    _check(layer, layer.pool_size, layer.strides)
    num_frames = clips.shape[1]
    pooled = ops.max_pool(_as_pictures(clips), layer.pool_size[1:], layer.strides[1:], "same")
    pooled = _as_clips(pooled, num_frames)
    # The frame nearest to padding lies under the same kernel: it may stand in for it.
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
