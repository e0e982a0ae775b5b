"""The index of a folder of videos: its files, and what they contain.

The folder of an index contains

    index.json           the model it was made with, the videos with their clips, skipped files
    videos/KK/KEY.npy    the windows of a video, as the model's video encoder gives them
    videos/KK/KEY.npz    the times of its frames, and its entry in index.json

KEY is derived from the content of the video and from the model; KK are its first characters, since
folders of many files are slow. Each file is written whole, `KEY.npz` after `KEY.npy` and
`index.json` last, so a program that is killed leaves an index that can be searched and continued.
Windows are memory-mapped when they are searched.
"""

import dataclasses
import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from gkcmn_tf import json_fields
from gkcmn_tf.files import read_json, whole_file, write_text
from gkcmn_tf.video import steps
from gkcmn_tf.video.frame_rates import SourceVideo, Timeline

FORMAT = 1
DEFAULT_FOLDER = ".gkcmn"  # in the folder of the videos
CATALOGUE_FILE = "index.json"
WINDOWS_FOLDER = "videos"
_ABSENT = -1  # row of a step after the end of a clip


@dataclasses.dataclass(frozen=True)
class IndexModel:
    """The trained model that an index was made with; another one cannot search it.

    Example:
        >>> from gkcmn_tf.indexing.video_index import IndexModel
        >>> demo = IndexModel("demo", "0f3a", "bfloat16", 12, 1.92, {"fps": None})
        >>> other = IndexModel("other", "77b0", "bfloat16", 12, 1.92, {"fps": 5.0})
        >>> other.differences(demo)
        ['features.fps', 'weights_sha256']

    Attributes:
        name: name of the preset.
        weights_sha256: hash of its weights, vocabulary and settings.
        precision: dtype of the encoded windows, such as `bfloat16`.
        max_steps: `T`, maximum number of steps of a clip.
        longest_clip: seconds of the longest training clip, which determines how long videos are
            cut into clips; None if unknown.
        features: fingerprint of the features.
    """

    name: str
    weights_sha256: str
    precision: str
    max_steps: int
    longest_clip: float | None
    features: dict[str, Any]

    def differences(self, other: "IndexModel") -> list[str]:
        """Names of the fields that differ, except the name and the location of I3D's weights."""
        here, there = self._compared(), other._compared()
        return sorted(k for k in here.keys() | there.keys() if here.get(k) != there.get(k))

    def digest(self) -> str:
        """Hash of the fields that `differences` compares."""
        return hashlib.sha256(json.dumps(self._compared(), sort_keys=True).encode()).hexdigest()

    def _compared(self):
        fields = self.to_json()
        features = fields.pop("features")
        del fields["name"]
        return fields | {f"features.{k}": v for k, v in features.items() if k != "i3d_source"}

    def to_json(self) -> dict[str, Any]:
        """Converts to a JSON object."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


@dataclasses.dataclass(frozen=True, eq=False)
class IndexedVideo:
    """A video of an index.

    Example:
        >>> import numpy as np
        >>> from gkcmn_tf.indexing.video_index import IndexedVideo
        >>> clips = np.array([[0, 48]])
        >>> video = IndexedVideo("a/b.mp4", 9000, 0, "0f3a", 640, 360, 25.0, 1.92, 48, clips, clips)
        >>> video.rows(max_steps=4)
        array([[0, 1, 2, 3]])

    Attributes:
        name: path relative to the folder of the videos, with `/` between folders.
        size: size of the file in bytes.
        modified: time of the last modification, in nanoseconds.
        key: name of its files in the index, without suffix.
        width: width in pixels after rotation to upright.
        height: height in pixels after rotation to upright.
        fps: frames per second.
        seconds: end of the last frame, in seconds after the start of the file.
        frame_count: number of frames.
        clips: int64 `[n, 2]`, frames `[begin, end)` of each searched clip.
        samples: int64 `[n, 2]`, the same in samples, which differ from frames after resampling.
    """

    name: str
    size: int
    modified: int
    key: str
    width: int
    height: int
    fps: float
    seconds: float
    frame_count: int
    clips: np.ndarray
    samples: np.ndarray

    def rows(self, max_steps: int) -> np.ndarray:
        """Row in the encoded windows of each step of each clip: int64 `[n, T]`, -1 for none.

        Args:
            max_steps: `T`.
        """
        windows = [steps.step_windows(*clip, max_steps) for clip in self.samples.tolist()]
        encoded = np.unique(np.concatenate(windows))
        rows = np.full((len(windows), max_steps), _ABSENT, np.int64)
        for row, of_clip in zip(rows, windows, strict=True):
            row[: len(of_clip)] = np.searchsorted(encoded, of_clip)
        return rows

    def to_json(self) -> dict[str, Any]:
        """Converts to a JSON object."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return fields | {"clips": self.clips.tolist(), "samples": self.samples.tolist()}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "IndexedVideo":
        """Reads what `to_json` returns.

        Raises:
            ValueError: a field is missing or invalid.
        """
        for name in ("size", "modified"):  # may be larger than `json_fields.integer` allows
            if type(fields.get(name)) is not int:
                raise ValueError(f"{name}: expected an integer, got {fields.get(name)!r}")
        count = json_fields.integer(fields, "frame_count", at_least=1)
        clips = {name: _ranges(fields, name) for name in ("clips", "samples")}
        if clips["clips"].max() > count or len(clips["clips"]) != len(clips["samples"]):
            raise ValueError(f"clips: expected one for each of samples, within {count} frames")
        return cls(
            name=_text(fields, "name"),
            size=fields["size"],
            modified=fields["modified"],
            key=_text(fields, "key"),
            width=json_fields.integer(fields, "width", at_least=1),
            height=json_fields.integer(fields, "height", at_least=1),
            fps=json_fields.positive_number(fields, "fps"),
            seconds=json_fields.number(fields, "seconds"),
            frame_count=count,
            **clips,
        )


def _text(fields, name):
    """A string that, unlike those of `json_fields.text`, may be a path that is not valid UTF-8."""
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name}: expected a string, got {value!r}")
    return value


def _ranges(fields, name):
    """Ranges `[begin, end)` as an array `[n, 2]`."""
    values = json_fields.json_list(fields, name)
    for value in values:
        valid = type(value) is list and len(value) == 2 and all(map(json_fields.is_integer, value))
        if not valid or not 0 <= value[0] < value[1]:
            raise ValueError(f"{name}: expected [begin, end] with begin < end, got {value!r}")
    if not values:
        raise ValueError(f"{name}: expected at least one")
    return np.array(values, np.int64)


@dataclasses.dataclass(frozen=True, eq=False)
class VideoIndex:
    """An index of the videos of a folder, in which `VideoGrounder.search` searches.

    Example:
        >>> import os, shutil, tempfile
        >>> import gkcmn_tf
        >>> folder = tempfile.TemporaryDirectory()
        >>> sample = gkcmn_tf.samples()[0]
        >>> _ = shutil.copy(sample.video, os.path.join(folder.name, "park.mp4"))
        >>> grounder = gkcmn_tf.VideoGrounder.from_preset("gkcmn_shapes")
        >>> index = grounder.index(folder.name, progress=False)
        >>> [(video.name, video.frame_count) for video in index.videos]
        [('park.mp4', 48)]
        >>> tubes = grounder.search(index, sample.sentences[0], top_k=3)
        >>> tubes[0].score >= tubes[1].score
        True
        >>> folder.cleanup()

    Attributes:
        index_dir: folder of the index.
        folder: folder of the videos.
        model: the model that it was made with.
        videos: its videos, sorted by name.
        skipped: the reason for each file that could not be encoded, by name.
        is_complete: whether the program that wrote it came to its end.
    """

    index_dir: str
    folder: str
    model: IndexModel
    videos: tuple[IndexedVideo, ...]
    skipped: Mapping[str, str]
    is_complete: bool

    def __repr__(self):
        return (
            f"VideoIndex({self.index_dir!r}, {len(self.videos)} videos, {self.num_clips} clips, "
            f"preset {self.model.name})"
        )

    @property
    def num_clips(self) -> int:
        """Number of clips of all videos."""
        return sum(len(video.clips) for video in self.videos)

    def path(self, video: IndexedVideo) -> str:
        """Path of a video file."""
        return os.path.join(self.folder, *video.name.split("/"))

    def is_current(self, video: IndexedVideo) -> bool:
        """Whether the video file is still there, with the size and time that were indexed."""
        try:
            found = os.stat(self.path(video))
        except OSError:
            return False
        return (found.st_size, found.st_mtime_ns) == (video.size, video.modified)

    def windows(self, video: IndexedVideo) -> np.ndarray:
        """Memory-maps the encoded windows of a video: `[windows, S, S, d]`.

        Numbers in bfloat16, which NumPy does not have, are uint16.

        Raises:
            ValueError: the file is missing or damaged.
        """
        path = windows_path(self.index_dir, video.key)
        try:
            return np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise ValueError(
                f"{path}: cannot be read ({error}); run gkcmn index {self.folder} again"
            ) from error

    def source(self, video: IndexedVideo) -> SourceVideo:
        """Reads the description of a video file, with the times of its frames.

        Raises:
            ValueError: a file of the index is missing or damaged.
        """
        path = times_path(self.index_dir, video.key)
        try:
            with np.load(path, allow_pickle=False) as stored:
                times, shown = stored["times"], stored["source_frames"]
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(
                f"{path}: cannot be read ({error}); run gkcmn index {self.folder} again"
            ) from error
        timeline = Timeline(times, video.seconds, shown if len(shown) else None)
        return SourceVideo(self.path(video), video.width, video.height, video.fps, timeline)

    def save(self) -> None:
        """Writes `index.json`."""
        inside = os.path.relpath(self.folder, self.index_dir)
        below = inside == os.pardir  # the default, which can be moved with the videos
        catalogue = {
            "format": FORMAT,
            "model": self.model.to_json(),
            "folder": inside if below else os.path.abspath(self.folder),
            "complete": self.is_complete,
            "skipped": dict(sorted(self.skipped.items())),
            "videos": [video.to_json() for video in self.videos],
        }
        # Names that are not valid UTF-8 are escaped.
        write_text(catalogue_path(self.index_dir), json.dumps(catalogue, allow_nan=False) + "\n")

    @classmethod
    def load(cls, index_dir: str | os.PathLike) -> "VideoIndex":
        """Reads an index.

        Args:
            index_dir: folder of the index, or a folder of videos with the index in `.gkcmn`.

        Raises:
            FileNotFoundError: there is no index.
            ValueError: `index.json` is damaged; the message names the field.
        """
        index_dir = os.fsdecode(index_dir)
        inside = os.path.join(index_dir, DEFAULT_FOLDER)
        if not os.path.exists(catalogue_path(index_dir)) and os.path.isdir(inside):
            index_dir = inside
        path = catalogue_path(index_dir)
        if not os.path.exists(path):
            raise FileNotFoundError(f"{index_dir}: contains no index; make one with gkcmn index")
        fields = read_json(path, object_pairs_hook=json_fields.JsonObject)
        with json_fields.errors_in(path):
            if json_fields.get(fields, "format") != FORMAT:
                found = json_fields.get(fields, "format")
                raise ValueError(f"has format {found!r}, expected {FORMAT}; delete {index_dir}")
            skipped = json_fields.json_object(fields, "skipped")
            entries = json_fields.json_list(fields, "videos")
            return cls(
                index_dir,
                os.path.normpath(os.path.join(index_dir, _text(fields, "folder"))),
                _read_model(fields),
                tuple(_read_video(number, entry) for number, entry in enumerate(entries)),
                skipped,
                fields.get("complete") is True,
            )


def _read_model(fields):
    model = json_fields.json_object(fields, "model")
    known = model.get("longest_clip") is not None
    return IndexModel(
        *(json_fields.text(fields, "model", n) for n in ("name", "weights_sha256", "precision")),
        max_steps=json_fields.integer(fields, "model", "max_steps", at_least=1),
        longest_clip=json_fields.positive_number(fields, "model", "longest_clip")
        if known
        else None,
        features=dict(json_fields.json_object(fields, "model", "features")),
    )


def _read_video(number, entry):
    with json_fields.errors_in(f"videos[{number}]"):
        return IndexedVideo.from_json(json_fields.json_object(entry))


def catalogue_path(index_dir: str) -> str:
    """Path of `index.json`."""
    return os.path.join(index_dir, CATALOGUE_FILE)


def windows_path(index_dir: str, key: str) -> str:
    """Path of the encoded windows of a video."""
    return os.path.join(index_dir, WINDOWS_FOLDER, key[:2], f"{key}.npy")


def times_path(index_dir: str, key: str) -> str:
    """Path of the frame times of a video; the file marks the video as complete."""
    return os.path.join(index_dir, WINDOWS_FOLDER, key[:2], f"{key}.npz")


def write_windows(
    index_dir: str, video: IndexedVideo, windows: np.ndarray, timeline: Timeline
) -> None:
    """Writes the files of a video.

    Args:
        index_dir: folder of the index.
        video: its entry.
        windows: encoded windows `[windows, S, S, d]`, as in `VideoIndex.windows`.
        timeline: times of its frames.
    """
    path = windows_path(index_dir, video.key)
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        np.save(file, windows)
    shown = timeline.source_frames
    arrays = {
        "times": timeline.times,
        "source_frames": np.zeros(0, np.int64) if shown is None else shown,
        "entry": np.array(json.dumps(video.to_json())),
    }
    path = times_path(index_dir, video.key)
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)


def read_entry(index_dir: str, key: str) -> IndexedVideo | None:
    """Reads the entry of a video from its files; None if they are missing or damaged."""
    try:
        np.load(windows_path(index_dir, key), mmap_mode="r", allow_pickle=False)
        with np.load(times_path(index_dir, key), allow_pickle=False) as stored:
            return IndexedVideo.from_json(json.loads(str(stored["entry"])))
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error):
        return None
