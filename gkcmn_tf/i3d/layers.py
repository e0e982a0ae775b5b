"""Layers of I3D: those of Keras with the same results, computed in a faster way."""

import functools

import keras
import numpy as np
from keras import ops

from gkcmn_tf.modeling.layers.compilation import on_gpu


def frames_seen(num_frames: int, size: int, stride: int) -> np.ndarray:
    """Returns the input frame at each tap of a temporal kernel with SAME padding.

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


@keras.saving.register_keras_serializable("gkcmn")
class MaxPooling(keras.layers.MaxPooling3D):
    """Max pooling (SAME) over space, then over time.

    A GPU pools pictures faster than clips, and TensorFlow Lite pools only pictures.

    Example:
        >>> import numpy as np
        >>> from gkcmn_tf.i3d.layers import MaxPooling
        >>> tuple(MaxPooling(3, strides=2)(np.ones([1, 3, 8, 8, 4], "float32")).shape)
        (1, 2, 4, 4, 4)

    Call arguments:
        x: `[B, T, H, W, C]`.

    Returns:
        `[B, ceil(T / stride), ceil(H / stride), ceil(W / stride), C]`.
    """

    def __init__(self, pool_size, strides=None, **kwargs):
        super().__init__(
            pool_size, strides, **{"padding": "same", "data_format": "channels_last"} | kwargs
        )

    def call(self, x):
        """Pools; see the class."""
        num_frames = x.shape[1]
        if num_frames is None:
            return super().call(x)
        size, stride = self.pool_size[0], self.strides[0]
        pooled = ops.max_pool(
            ops.reshape(x, (-1, *x.shape[2:])),
            self.pool_size[1:],
            self.strides[1:],
            padding="same",
            data_format="channels_last",
        )
        pooled = ops.reshape(pooled, (-1, num_frames, *pooled.shape[1:]))
        if size == stride == 1:
            return pooled
        # A kernel that reaches into the padding also covers the first or last frame.
        seen = frames_seen(num_frames, size, stride).clip(0, num_frames - 1)
        return functools.reduce(
            ops.maximum, [ops.take(pooled, frames, axis=1) for frames in np.unique(seen, axis=0)]
        )


@keras.saving.register_keras_serializable("gkcmn")
class StemConvolution(keras.layers.Conv3D):
    """Convolution with stride 2 and SAME padding, for the few channels of a picture.

    On a GPU, it is computed as a convolution with stride 1 on blocks of 2x2x2 pixels. With 3
    channels, most of the GPU's matrix unit is idle; blocks have 24.

    Example:
        >>> import numpy as np
        >>> from gkcmn_tf.i3d.layers import StemConvolution
        >>> layer = StemConvolution(4, kernel_size=7)
        >>> tuple(layer(np.ones([1, 8, 16, 16, 3], "float32")).shape)
        (1, 4, 8, 8, 4)

    Args:
        filters: number of output channels.
        kernel_size: kernel size along each axis: 3 or 7.
        **kwargs: further arguments of `keras.layers.Conv3D`.

    Call arguments:
        clips: `[B, T, H, W, C]`.

    Returns:
        `[B, ceil(T / 2), ceil(H / 2), ceil(W / 2), filters]`.
    """

    def __init__(self, filters, kernel_size, **kwargs):
        fixed = {"strides": 2, "padding": "same", "data_format": "channels_last"}
        super().__init__(filters, kernel_size, **fixed | kwargs)

    def call(self, clips):
        """Convolves; see the class."""
        even = all(n is not None and n % 2 == 0 for n in clips.shape[1:4])
        return self.convolve_blocks(clips) if even and on_gpu() else super().call(clips)

    def convolve_blocks(self, clips):
        """Computes the convolution on blocks; the number of frames, rows and columns is even."""
        # SAME padding of an even axis; it must be even itself to be a number of blocks.
        before = (self.kernel_size[0] - 2) // 2
        size = self.kernel_size[0] + 1
        padding = [before, size - 2 - before]
        x = _as_blocks(ops.pad(clips, [[0, 0], padding, padding, padding, [0, 0]]))
        kernel = ops.cast(self.kernel, self.compute_dtype)
        kernel = ops.pad(kernel, [[0, 1]] * 3 + [[0, 0]] * 2)
        kernel = ops.reshape(kernel, (size // 2, 2) * 3 + tuple(self.kernel.shape[3:]))
        # The positions within a block are channels, in the order of `_as_blocks`.
        kernel = ops.transpose(kernel, (0, 2, 4, 5, 3, 1, 6, 7))
        kernel = ops.reshape(kernel, (size // 2,) * 3 + (x.shape[-1], self.filters))
        x = ops.conv(x, kernel, padding="valid", data_format="channels_last")
        if self.use_bias:
            x = ops.add(x, ops.cast(self.bias, self.compute_dtype))
        return x if self.activation is None else self.activation(x)


def _as_blocks(x):
    """Blocks of 2x2x2 pixels as channels: `[B, T, H, W, C]` to `[B, T/2, H/2, W/2, 8 C]`."""
    x = ops.concatenate([x[:, 0::2], x[:, 1::2]], axis=-1)
    x = ops.concatenate([x[:, :, 0::2], x[:, :, 1::2]], axis=-1)
    return ops.concatenate([x[:, :, :, 0::2], x[:, :, :, 1::2]], axis=-1)


@keras.saving.register_keras_serializable("gkcmn")
class HeadPooling(keras.layers.AveragePooling3D):
    """Average pooling over 2x7x7 cells of `Mixed_5c` (VALID, stride 1), before the logits.

    Example:
        >>> import numpy as np
        >>> from gkcmn_tf.i3d.layers import HeadPooling
        >>> tuple(HeadPooling()(np.ones([1, 3, 7, 8, 4], "float32")).shape)
        (1, 2, 1, 2, 4)

    Call arguments:
        x: `[B, T, H, W, C]`.

    Returns:
        `[B, T - 1, H - 6, W - 6, C]`.

    Raises:
        ValueError: `x` has fewer cells than the pool; the average of no cells would be NaN.
    """

    def __init__(self, **kwargs):
        fixed = {"pool_size": (2, 7, 7), "strides": 1, "data_format": "channels_last"}
        super().__init__(**fixed | kwargs)

    def call(self, x):
        """Averages `[B, T, H, W, C]` to `[B, T - 1, H - 6, W - 6, C]`."""
        cells = x.shape[1:4]
        if any(n is not None and n < k for n, k in zip(cells, self.pool_size, strict=True)):
            raise ValueError(
                "I3D's Logits average 2x7x7 cells of Mixed_5c, so a clip needs at least 9 frames "
                f"of at least 193x193 pixels; this one has {'x'.join(map(str, cells))} cells. "
                "Use a longer clip or the endpoint Mixed_5c."
            )
        return super().call(x)
