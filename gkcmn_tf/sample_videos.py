"""The sample videos in the package, with sentences about them and their true tubes."""

import dataclasses
import os

import numpy as np

from gkcmn_tf.files import read_json
from gkcmn_tf.tubes import Tube

_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "samples")
SAMPLES_FILE = "samples.json"


@dataclasses.dataclass(frozen=True)
class Sample:
    """A video of the shapes data set that no model in the package was trained on.

    Attributes:
        video: path of the file.
        sentences: about it.
        true_tubes: one for each of the sentences.
    """

    video: str
    sentences: tuple[str, ...]
    true_tubes: tuple[Tube, ...]


def samples() -> list[Sample]:
    """The samples, to try a model with.

    Example:
        >>> import gkcmn_tf
        >>> len(gkcmn_tf.samples())
        6
    """
    return [
        Sample(
            video=os.path.join(_FOLDER, entry["video"]),
            sentences=tuple(sentence["text"] for sentence in entry["sentences"]),
            true_tubes=tuple(
                Tube(
                    sentence["begin"],
                    sentence["end"],
                    np.array(sentence["boxes"], np.float64),
                    sentence=sentence["text"],
                )
                for sentence in entry["sentences"]
            ),
        )
        for entry in read_json(os.path.join(_FOLDER, SAMPLES_FILE))
    ]
