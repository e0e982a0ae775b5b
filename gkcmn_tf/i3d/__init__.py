"""I3D: the network, and where its weights come from."""

from gkcmn_tf.i3d.loading import load_i3d

__all__ = ["load_i3d"]
