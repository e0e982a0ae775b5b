"""GKCMN: Gaussian kernel-based cross-modal network for spatio-temporal video grounding.

Example:
    >>> import gkcmn_tf
    >>> grounder = gkcmn_tf.VideoGrounder.from_preset("gkcmn_shapes")
    >>> sample = gkcmn_tf.samples()[0]
    >>> video = grounder.encode(sample.video)
    >>> tube = grounder.ground(video, sample.sentences[0])
    >>> tube.begin < tube.end
    True

Public names are imported lazily: `import gkcmn_tf` does not load TensorFlow.
"""

import importlib
import sys
import typing

__version__ = "0.2.0"

if sys.argv[:1] == ["-m"]:  # `python -m PROGRAM`, before other imports: see `program.start`
    from gkcmn_tf import program

    program.start()

# Module and attribute of each public name; None means the module itself.
_PUBLIC = {
    "VideoGrounder": ("gkcmn_tf.video_grounder", "VideoGrounder"),
    "EncodedVideo": ("gkcmn_tf.encoded_video", "EncodedVideo"),
    "Tube": ("gkcmn_tf.tubes", "Tube"),
    "VideoIndex": ("gkcmn_tf.indexing.video_index", "VideoIndex"),
    "presets": ("gkcmn_tf.preset", "presets"),
    "samples": ("gkcmn_tf.sample_videos", "samples"),
    "GKCMN": ("gkcmn_tf.modeling.gkcmn", "GKCMN"),
    "BM": ("gkcmn_tf.modeling.bm", "BM"),
    "load_i3d": ("gkcmn_tf.i3d.loading", "load_i3d"),
    "config": ("gkcmn_tf.config", None),
    "losses": ("gkcmn_tf.modeling.losses", None),
    "metrics": ("gkcmn_tf.evaluation.metrics", None),
    "evaluate": ("gkcmn_tf.evaluate", None),
}

__all__ = [
    "BM",
    "GKCMN",
    "EncodedVideo",
    "Tube",
    "VideoGrounder",
    "VideoIndex",
    "config",
    "evaluate",
    "load_i3d",
    "losses",
    "metrics",
    "presets",
    "samples",
]

if typing.TYPE_CHECKING:
    from gkcmn_tf import config, evaluate
    from gkcmn_tf.encoded_video import EncodedVideo
    from gkcmn_tf.evaluation import metrics
    from gkcmn_tf.i3d.loading import load_i3d
    from gkcmn_tf.indexing.video_index import VideoIndex
    from gkcmn_tf.modeling import losses
    from gkcmn_tf.modeling.bm import BM
    from gkcmn_tf.modeling.gkcmn import GKCMN
    from gkcmn_tf.preset import presets
    from gkcmn_tf.sample_videos import samples
    from gkcmn_tf.tubes import Tube
    from gkcmn_tf.video_grounder import VideoGrounder


def __getattr__(name):
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _PUBLIC[name]
    value = importlib.import_module(module)
    return value if attribute is None else getattr(value, attribute)


def __dir__():
    return sorted({*globals(), *__all__})
