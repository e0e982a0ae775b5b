"""I3D: the network and the sources of its weights."""

import importlib
import typing

if typing.TYPE_CHECKING:
    from gkcmn_tf.i3d.loading import load_i3d

__all__ = ["load_i3d"]


def __getattr__(name):
    # TensorFlow takes seconds to import, and information about the weights does not need it.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("gkcmn_tf.i3d.loading"), name)
