"""The serial, parallel and mixed convolutional networks (section 2.2, Eq. 2 to 4)."""

import keras

from gkcmn_tf.modeling.layers.convolution import ConvolutionBlock


@keras.saving.register_keras_serializable("gkcmn")
class SerialConnection(keras.layers.Layer):
    """2D convolution of each step, followed by a 3D convolution: `M_ser` of Eq. 2.

    Example:
        >>> import numpy as np
        >>> from gkcmn_tf.modeling.layers.mixed_convolution import SerialConnection
        >>> layer = SerialConnection(8)
        >>> x = np.ones([2, 5, 4, 4, 8], "float32")
        >>> step_mask = np.array([[True] * 5, [True] * 3 + [False] * 2])
        >>> tuple(layer(x, step_mask).shape)
        (2, 5, 4, 4, 8)

    Args:
        filters: number of output channels, `D'`.

    Call arguments:
        x: `F2`, `[B, T, S, S, C]`.
        step_mask: bool `[B, T]`.

    Returns:
        `[B, T, S, S, filters]`.
    """

    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.spatial = ConvolutionBlock(
            filters, rank=2, dtype=self.dtype_policy, name="convolution_2d"
        )
        self.temporal = ConvolutionBlock(
            filters, rank=3, dtype=self.dtype_policy, name="convolution_3d"
        )

    def build(self, x_shape):
        """Creates the weights for inputs of shape `[B, T, S, S, C]`."""
        self.spatial.build(x_shape)
        self.temporal.build((*x_shape[:-1], self.filters))

    def call(self, x, step_mask):
        """Applies both blocks; see the class."""
        return self.temporal(self.spatial(x, step_mask), step_mask)

    def compute_output_shape(self, x_shape):
        """`[B, T, S, S, filters]`."""
        return (*x_shape[:-1], self.filters)

    def get_config(self):
        """Constructor arguments."""
        return super().get_config() | {"filters": self.filters}


@keras.saving.register_keras_serializable("gkcmn")
class ParallelConnection(keras.layers.Layer):
    """Sum of parallel 3D and 2D convolutions: `M_par` of Eq. 3.

    Example:
        >>> import numpy as np
        >>> from gkcmn_tf.modeling.layers.mixed_convolution import ParallelConnection
        >>> layer = ParallelConnection(8, spatial=False)
        >>> x = np.ones([2, 5, 4, 4, 8], "float32")
        >>> step_mask = np.array([[True] * 5, [True] * 3 + [False] * 2])
        >>> tuple(layer(x, step_mask).shape)
        (2, 5, 4, 4, 8)

    Args:
        filters: number of output channels, `D'`.
        spatial: whether to include the 2D branch. Eq. 4 uses the 3D branch only, as the serial
            network already contains a 2D convolution.

    Call arguments:
        x: `F2`, `[B, T, S, S, C]`.
        step_mask: bool `[B, T]`.

    Returns:
        `[B, T, S, S, filters]`.
    """

    def __init__(self, filters, *, spatial=True, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.spatial = spatial
        self.branches = [
            ConvolutionBlock(
                filters, rank=rank, dtype=self.dtype_policy, name=f"convolution_{rank}d"
            )
            for rank in ((3, 2) if spatial else (3,))
        ]

    def build(self, x_shape):
        """Creates the weights for inputs of shape `[B, T, S, S, C]`."""
        for branch in self.branches:
            branch.build(x_shape)

    def call(self, x, step_mask):
        """Sums the branches; see the class."""
        return sum(branch(x, step_mask) for branch in self.branches)

    def compute_output_shape(self, x_shape):
        """`[B, T, S, S, filters]`."""
        return (*x_shape[:-1], self.filters)

    def get_config(self):
        """Constructor arguments."""
        return super().get_config() | {"filters": self.filters, "spatial": self.spatial}


@keras.saving.register_keras_serializable("gkcmn")
class MixedConvolution(keras.layers.Layer):
    """The mixed network, `M_mix = K3 (x) F2 + M_ser + F2` (Eq. 4), and its ablations.

    Example:
        >>> import numpy as np
        >>> from gkcmn_tf.modeling.layers.mixed_convolution import MixedConvolution
        >>> layer = MixedConvolution()
        >>> x = np.ones([2, 5, 4, 4, 8], "float32")
        >>> step_mask = np.array([[True] * 5, [True] * 3 + [False] * 2])
        >>> tuple(layer(x, step_mask).shape)
        (2, 5, 4, 4, 8)

    Args:
        serial: whether to include `M_ser`; False is ablation w/o SC of Table 3.
        parallel: whether to include `K3 (x) F2`; False is ablation w/o PC. If both are False, the
            layer is the identity (w/o MN).
        parallel_spatial: whether the parallel part is `M_par` of Eq. 3 with its 2D branch; Eq. 4
            uses the 3D branch only.

    Call arguments:
        x: `F2`, `[B, T, S, S, D']`.
        step_mask: bool `[B, T]`.

    Returns:
        `M_mix`, `[B, T, S, S, D']`.
    """

    def __init__(self, *, serial=True, parallel=True, parallel_spatial=False, **kwargs):
        super().__init__(**kwargs)
        self.serial = serial
        self.parallel = parallel
        self.parallel_spatial = parallel_spatial

    def build(self, x_shape):
        """Creates the weights for inputs of shape `[B, T, S, S, D']`."""
        self.networks = []
        if self.parallel:
            self.networks.append(
                ParallelConnection(
                    x_shape[-1],
                    spatial=self.parallel_spatial,
                    dtype=self.dtype_policy,
                    name="parallel",
                )
            )
        if self.serial:
            self.networks.append(
                SerialConnection(x_shape[-1], dtype=self.dtype_policy, name="serial")
            )
        for network in self.networks:
            network.build(x_shape)

    def call(self, x, step_mask):
        """Sums the networks and the residual; see the class."""
        return sum((network(x, step_mask) for network in self.networks), start=x)

    def compute_output_shape(self, x_shape):
        """Same as the input shape."""
        return x_shape

    def get_config(self):
        """Constructor arguments."""
        return super().get_config() | {
            "serial": self.serial,
            "parallel": self.parallel,
            "parallel_spatial": self.parallel_spatial,
        }
