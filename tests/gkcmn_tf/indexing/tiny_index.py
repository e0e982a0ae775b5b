"""Indexes a folder with mean colours in place of I3D and of a model; no tests.

    python -m tests.gkcmn_tf.indexing.tiny_index FOLDER

Needs no TensorFlow.
"""

import functools
import sys

import numpy as np

from gkcmn_tf.encoded_video import encode_windows
from gkcmn_tf.indexing import updating
from gkcmn_tf.indexing.video_index import IndexModel
from gkcmn_tf.searched_clips import ClipSearch

MODEL = IndexModel("tiny", "0" * 64, "float32", 4, 1.0, {"fps": None, "shape": [1, 1, 3]})


def mean_colours(frames, windows):
    """Features `[n, 1, 1, 3]`."""
    return frames[windows].mean(axis=(1, 2, 3))[:, None, None]


def encode(path, model=MODEL):
    search = ClipSearch(model.max_steps, model.longest_clip)
    return encode_windows(path, mean_colours, search.windows, model.features, batch_size=4)


def update(folder, index_dir=None, *, model=MODEL, encode=encode):
    """Updates the index; returns it and what has changed."""
    job = functools.partial(
        updating.encode_job, encode, lambda features: features.astype(np.float32), model
    )
    in_order = functools.partial(updating.in_this_process, job)
    return updating.update_index(str(folder), index_dir, model, in_order, progress=False)


if __name__ == "__main__":
    index, changes = update(sys.argv[1])
    print(changes)
