"""Makes and updates the index of a folder of videos."""

import contextlib
import dataclasses
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

import av
import numpy as np
import tqdm
from absl import logging

from gkcmn_tf.encoded_video import EncodedVideo
from gkcmn_tf.files import remove_temporary_files
from gkcmn_tf.folder_lock import LOCK_FILE, folder_lock
from gkcmn_tf.indexing import video_index
from gkcmn_tf.indexing.video_index import IndexedVideo, IndexModel, VideoIndex
from gkcmn_tf.searched_clips import ClipSearch

SUFFIXES = (
    *(".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4"),
    *(".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".vob", ".webm", ".wmv"),
)
_KEY = re.compile(r"[0-9a-f]{32}-[0-9a-f]{16}\.np[yz]")


@dataclasses.dataclass(frozen=True)
class Job:
    """A video to encode.

    Example:
        >>> from gkcmn_tf.indexing.updating import Job
        >>> Job("a.mp4", "videos/a.mp4", 9000, 0, "videos/.gkcmn").name
        'a.mp4'

    Attributes:
        name: name of the video in the index.
        path: path of the file.
        size: size of the file in bytes.
        modified: time of its last modification, in nanoseconds.
        index_dir: folder of the index.
    """

    name: str
    path: str
    size: int
    modified: int
    index_dir: str


@dataclasses.dataclass(frozen=True)
class Skipped:
    """A video that cannot be encoded.

    Example:
        >>> from gkcmn_tf.indexing.updating import Skipped
        >>> Skipped("a.mp4: contains no frames").reason
        'a.mp4: contains no frames'

    Attributes:
        reason: the error.
    """

    reason: str


Outcome = IndexedVideo | Skipped
EncodeAll = Callable[[Sequence[Job]], AbstractContextManager[Iterator[Outcome]]]


@dataclasses.dataclass(frozen=True)
class Changes:
    """Numbers of videos in an update of an index.

    Example:
        >>> from gkcmn_tf.indexing.updating import Changes
        >>> str(Changes(encoded=2, unchanged=5, removed=0, skipped=1))
        '2 encoded, 5 unchanged, 0 removed, 1 skipped'

    Attributes:
        encoded: new and changed videos.
        unchanged: videos that were in the index before.
        removed: videos that are not in the folder any more.
        skipped: files that cannot be encoded.
    """

    encoded: int
    unchanged: int
    removed: int
    skipped: int

    def __str__(self):
        fields = dataclasses.asdict(self)
        return ", ".join(f"{count} {name}" for name, count in fields.items())


def update_index(
    folder: str,
    index_dir: str | None,
    model: IndexModel,
    encode_all: EncodeAll,
    *,
    progress: bool = True,
) -> tuple[VideoIndex, Changes]:
    """Encodes the new and changed videos of a folder; drops those that are gone.

    A video is unchanged if its size and time of modification are. Else its content is compared, so
    that a copied or renamed video is not encoded again. Videos are found by their suffix
    (`SUFFIXES`), also in subfolders, except hidden ones.

    Args:
        folder: folder of the videos.
        index_dir: folder of the index; None for `.gkcmn` in `folder`.
        model: the model that encodes.
        encode_all: context manager for the outcomes of jobs, in their order; see `encode_job`.
        progress: whether to show a progress bar.

    Returns:
        the index, and what has changed.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: the index was made by another model or of another folder, is in use, is damaged,
            or `index_dir` contains other files.
    """
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{folder}: no such folder")
    index_dir = index_dir or os.path.join(folder, video_index.DEFAULT_FOLDER)
    with folder_lock(index_dir):
        before = _previous(folder, index_dir, model)
        known = {video.name: video for video in before.videos}
        videos, skipped, jobs = {}, {}, []
        for name, path in find_videos(folder):
            try:
                found = os.stat(path)
            except OSError as error:
                skipped[name] = f"{path}: {error.strerror}"
                continue
            if not stat.S_ISREG(found.st_mode):  # to open a named pipe would wait forever
                skipped[name] = f"{path}: is not a regular file"
                continue
            job = Job(name, path, found.st_size, found.st_mtime_ns, index_dir)
            if name in known and _is_unchanged(known[name], job):
                videos[name] = known[name]
            else:
                jobs.append(job)
        unchanged = len(videos)

        def save(*, complete):
            ordered = tuple(videos[name] for name in sorted(videos))
            index = VideoIndex(index_dir, folder, model, ordered, skipped, complete)
            index.save()
            return index

        save(complete=False)  # says with which model, should the program be killed
        try:
            with encode_all(jobs) as outcomes:
                bar = tqdm.tqdm(
                    zip(jobs, outcomes, strict=True),
                    desc="indexing",
                    unit="video",
                    total=len(jobs),
                    disable=not progress,
                )
                for job, outcome in bar:
                    if isinstance(outcome, Skipped):
                        skipped[job.name] = outcome.reason
                    else:
                        videos[job.name] = outcome
        except BaseException:
            save(complete=False)
            raise
        index = save(complete=True)
        _remove_unused(index)
    changes = Changes(
        encoded=len(videos) - unchanged,
        unchanged=unchanged,
        removed=len(known.keys() - videos.keys() - skipped.keys()),
        skipped=len(skipped),
    )
    return index, changes


def find_videos(folder: str) -> Iterator[tuple[str, str]]:
    """Yields name and path of the videos of a folder and its subfolders, sorted by folder."""
    for place, folders, files in os.walk(folder, onerror=_warn):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for file in sorted(files):
            if not file.startswith(".") and os.path.splitext(file)[1].lower() in SUFFIXES:
                path = os.path.join(place, file)
                yield os.path.relpath(path, folder).replace(os.sep, "/"), path


def _warn(error):
    logging.warning("%s: %s", error.filename, error.strerror)


def _previous(folder, index_dir, model):
    """The index before the update; checks that it belongs to the folder and the model."""
    if not os.path.exists(video_index.catalogue_path(index_dir)):
        own = (LOCK_FILE, f"{video_index.CATALOGUE_FILE}.")
        other = [name for name in sorted(os.listdir(index_dir)) if not name.startswith(own)]
        if other:
            raise ValueError(
                f"{index_dir}: contains no index but other files ({other[0]}); choose another "
                "--index_dir"
            )
        return VideoIndex(index_dir, folder, model, (), {}, False)
    before = VideoIndex.load(index_dir)
    check_model(before, model)
    if os.path.realpath(before.folder) != os.path.realpath(folder):
        raise ValueError(
            f"{index_dir}: is the index of {before.folder}, not of {folder}; choose another "
            "--index_dir"
        )
    return before


def check_model(index: VideoIndex, model: IndexModel) -> None:
    """Raises `ValueError` if an index was made with another model."""
    if changed := index.model.differences(model):
        raise ValueError(
            f"{index.index_dir}: was made with preset {index.model.name}, not with {model.name} "
            f"(other {', '.join(changed)}); use --preset={index.model.name}, or make an index for "
            f"{model.name} in another --index_dir"
        )


def _is_unchanged(video, job):
    same = (video.size, video.modified) == (job.size, job.modified)
    return same and video_index.read_entry(job.index_dir, video.key) is not None


def _remove_unused(index):
    """Removes the files of videos that are not in the index, and what killed processes left."""
    folder = os.path.join(index.index_dir, video_index.WINDOWS_FOLDER)
    used = {video.key for video in index.videos}
    for place, _, files in os.walk(folder, topdown=False):
        remove_temporary_files(place, (".npy", ".npz"))
        for file in files:
            if _KEY.fullmatch(file) and os.path.splitext(file)[0] not in used:
                os.remove(os.path.join(place, file))
        if place != folder and not os.listdir(place):
            os.rmdir(place)


def encode_job(
    encode: Callable[[str], EncodedVideo],
    project: Callable[[np.ndarray], np.ndarray],
    model: IndexModel,
    job: Job,
) -> Outcome:
    """Encodes a video and writes its files, unless the index has a video of the same content.

    Args:
        encode: encodes a video file.
        project: maps its features `[n, S, S, C]` to those of the model's video encoder,
            `[n, S, S, d]`.
        model: the model of the index.
        job: the video.

    Raises:
        OSError: the index cannot be written.
    """
    try:
        with open(job.path, "rb") as file:
            opened = os.fstat(file.fileno())
            content = hashlib.file_digest(file, "sha256").hexdigest()
        key = f"{content[:32]}-{model.digest()[:16]}"
        same = video_index.read_entry(job.index_dir, key)
        if same is not None:
            return dataclasses.replace(
                same, name=job.name, size=job.size, modified=job.modified, key=key
            )
        encoded = encode(job.path)
        timeline = encoded.source.timeline
        clips = ClipSearch(model.max_steps, model.longest_clip).clips(timeline)
        if _version(os.stat(job.path)) != _version(opened):
            raise ValueError("has changed while it was encoded; run gkcmn index again")
    except (OSError, av.FFmpegError) as error:
        return Skipped(f"{job.path}: {error.strerror}")
    except ValueError as error:
        named = job.path in str(error)
        return Skipped(str(error) if named else f"{job.path}: {error}")
    source = encoded.source
    video = IndexedVideo(
        *(job.name, job.size, job.modified, key),
        width=source.width,
        height=source.height,
        fps=source.fps,
        seconds=timeline.end_time,
        frame_count=timeline.frame_count,
        clips=np.array(clips, np.int64),
        samples=np.array([timeline.to_samples(*clip) for clip in clips], np.int64),
    )
    video_index.write_windows(job.index_dir, video, project(encoded.features), timeline)
    return video


def _version(found):
    """What differs between two versions of a file; another file may have the same size and time."""
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


@contextlib.contextmanager
def in_this_process(encode: Callable[[Job], Outcome], jobs: Sequence[Job]):
    """Context manager for the outcomes of jobs, one after the other."""
    yield map(encode, jobs)
