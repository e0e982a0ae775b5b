"""Encoded videos: I3D features that can be reused for several queries."""

import dataclasses
import hashlib
import json
import os
import zipfile

import numpy as np

from gkcmn_tf.files import whole_file
from gkcmn_tf.video.frame_rates import SourceVideo, Timeline

_FORMAT = 2
_ARRAYS = ("features", "times", "source_frames", "description")


@dataclasses.dataclass(frozen=True, eq=False)
class EncodedVideo:
    """I3D features of a video, with the size and frame times of the file.

    Example:
        >>> import numpy as np
        >>> from gkcmn_tf.encoded_video import EncodedVideo
        >>> from gkcmn_tf.video.frame_rates import SourceVideo, Timeline
        >>> source = SourceVideo("clip.mp4", 640, 360, 25.0, Timeline(np.arange(8) / 25, 0.32))
        >>> video = EncodedVideo(np.zeros([2, 7, 7, 1024], np.float16), source, {"fps": None})
        >>> video
        EncodedVideo('clip.mp4', 640x360, 8 frames, 0.32 s)

    Attributes:
        features: float16 `[windows, S, S, C]`, rounded to the storage dtype of the training data.
        source: description of the video file.
        fingerprint: settings of the feature extraction.
    """

    features: np.ndarray
    source: SourceVideo
    fingerprint: dict

    def __repr__(self):
        source = self.source
        return (
            f"EncodedVideo({source.path!r}, {source.width}x{source.height}, "
            f"{source.timeline.frame_count} frames, {source.timeline.end_time:.2f} s)"
        )

    def at_path(self, path: str) -> "EncodedVideo":
        """Returns a copy with another path of the video file."""
        return dataclasses.replace(self, source=dataclasses.replace(self.source, path=path))

    def save(self, path: str | os.PathLike) -> None:
        """Writes an `.npz` file atomically. `load` does not require the video file."""
        source = self.source
        timeline = source.timeline
        shown = timeline.source_frames
        description = {
            "format": _FORMAT,
            "path": source.path,
            "width": source.width,
            "height": source.height,
            "fps": source.fps,
            "end_time": timeline.end_time,
            "resampled": shown is not None,
            "fingerprint": self.fingerprint,
        }
        arrays = {
            "features": self.features,
            "times": timeline.times,
            "source_frames": np.zeros(0, np.int64) if shown is None else shown,
            "description": np.array(json.dumps(description)),
        }
        with whole_file(os.fspath(path)) as temporary, open(temporary, "wb") as file:
            np.savez(file, **arrays)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "EncodedVideo":
        """Loads a file written by `save`.

        Raises:
            FileNotFoundError: the file does not exist.
            ValueError: the file is damaged or not an encoded video.
        """
        path = os.fspath(path)
        if not os.path.exists(path):
            raise FileNotFoundError(f"{path}: no such encoded video")
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in _ARRAYS}
            description = json.loads(str(arrays["description"]))
            if description["format"] != _FORMAT:
                raise ValueError(f"has format {description['format']}, expected {_FORMAT}")
            timeline = Timeline(
                times=arrays["times"],
                end_time=description["end_time"],
                source_frames=arrays["source_frames"] if description["resampled"] else None,
            )
            size = (description["width"], description["height"], description["fps"])
            source = SourceVideo(description["path"], *size, timeline)
            return cls(arrays["features"], source, description["fingerprint"])
        except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(
                f"{path}: not an encoded video ({error}); encode the video again"
            ) from error


def cache_path(cache_dir: str | os.PathLike, video: str, fingerprint: dict) -> str:
    """Path of the cache file of a video, derived from its content and the extraction settings.

    If the content of the video changes, so does the path.
    """
    with open(video, "rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    settings = {key: value for key, value in fingerprint.items() if key != "i3d_source"}
    settings["format"] = _FORMAT
    made = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    return os.path.join(os.fspath(cache_dir), f"{content[:32]}-{made[:16]}.npz")
