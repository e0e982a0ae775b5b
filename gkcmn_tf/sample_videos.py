"""Sample videos in the package, with sentences and true tubes."""

import dataclasses
import os

import numpy as np

from gkcmn_tf.files import read_json
from gkcmn_tf.tubes import Tube

_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "samples")
SAMPLES_FILE = "samples.json"


@dataclasses.dataclass(frozen=True)
class Sample:
    """A sample video of the shapes data set, which is not in the training data of any preset.

    Example:
        >>> import gkcmn_tf
        >>> sample = gkcmn_tf.samples()[0]
        >>> len(sample.sentences) == len(sample.true_tubes)
        True

    Attributes:
        video: path of the video file.
        sentences: sentences about the video.
        true_tubes: true tube of each sentence.
    """

    video: str
    sentences: tuple[str, ...]
    true_tubes: tuple[Tube, ...]


def samples() -> list[Sample]:
    """Returns the sample videos of the package.

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
