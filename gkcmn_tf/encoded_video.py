"""Encoded videos: I3D features that can be reused for several queries."""

import dataclasses
import hashlib
import json
import os
import zipfile
import zlib

import numpy as np

from gkcmn_tf.files import whole_file
from gkcmn_tf.json_fields import is_number
from gkcmn_tf.video.frame_rates import SourceVideo, Timeline
from gkcmn_tf.video.windows import count_windows

_FORMAT = 2
_ARRAYS = {"features": np.float16, "times": np.float64, "source_frames": np.int64}


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
        with open(path, "rb") as file:
            try:
                video = cls._read(file)
                _check(video)
            # Damaged archives raise the errors of the last line.
            except (
                *(ValueError, KeyError, TypeError, EOFError),
                *(zipfile.BadZipFile, zlib.error, RuntimeError, OSError, MemoryError),
            ) as error:
                raise ValueError(
                    f"{path}: not an encoded video ({error}); encode the video again"
                ) from error
        return video

    @classmethod
    def _read(cls, file):
        with np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in _ARRAYS}
            description = json.loads(str(stored["description"]))
        for name, dtype in _ARRAYS.items():
            if arrays[name].dtype != dtype:
                raise ValueError(
                    f"{name}: expected {np.dtype(dtype)} numbers, got {arrays[name].dtype}"
                )
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


def _check(video):
    """Raises `ValueError` or `TypeError` if the fields of a loaded file do not fit together."""
    source, timeline = video.source, video.source.timeline
    for name, value, wanted in (
        ("path", source.path, str),
        ("fingerprint", video.fingerprint, dict),
    ):
        if not isinstance(value, wanted):
            raise TypeError(f"{name}: expected a {wanted.__name__}, got {value!r}")
    for name in ("width", "height", "fps"):
        if not is_number(getattr(source, name)) or getattr(source, name) <= 0:
            raise ValueError(f"{name}: expected a positive number, got {getattr(source, name)!r}")
    if not is_number(timeline.end_time):
        raise ValueError(f"end_time: expected a number, got {timeline.end_time!r}")
    bounds = np.append(timeline.times, timeline.end_time)
    in_order = np.isfinite(bounds).all() and (np.diff(bounds) >= 0).all()
    if timeline.times.ndim != 1 or bounds.size < 2 or not in_order:
        raise ValueError("times: expected times of frames in ascending order")
    samples = timeline.frame_count
    if (shown := timeline.source_frames) is not None:
        samples = len(shown)
        if (
            shown.ndim != 1
            or not samples
            or (np.diff(shown, prepend=0, append=timeline.frame_count - 1) < 0).any()
        ):
            raise ValueError("source_frames: expected frames of the video in ascending order")
    shape = (count_windows(samples), *video.fingerprint["shape"])
    if video.features.shape != shape:
        raise ValueError(f"features: expected shape {shape}, got {video.features.shape}")
    if not np.isfinite(video.features).all():
        raise ValueError("features: expected finite numbers, found NaN or infinity")


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
