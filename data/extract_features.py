"""Extracts video features with an Apache Beam pipeline; each video is one element.

The default DirectRunner processes the videos one after another in this process, where TensorFlow
uses all CPU cores or the GPU. Other runners distribute the videos over a cluster: the project must
be installed on all workers, and the records folder and the videos must be on a shared file system
(docs/clusters.md).

For every video, the records folder receives a feature file and a .json file with `VideoFacts`, or,
if extraction fails, failures/VIDEO.json with the reason. Videos with features are not processed
again, unless the video file has changed; failed videos are retried at each run.
"""

import contextlib
import dataclasses
import glob
import hashlib
import logging
import os
import re
import shlex
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import absl.logging
import apache_beam as beam
import numpy as np
import psutil
import tensorflow as tf
import tqdm
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from apache_beam.transforms.environments import SubprocessSDKEnvironment
from apache_beam.utils.shared import Shared

from gkcmn_tf import interruption
from gkcmn_tf.features import extraction, feature_records
from gkcmn_tf.files import read_json, remove_temporary_files, write_json
from gkcmn_tf.json_fields import is_number
from gkcmn_tf.video.frame_rates import Timeline
from gkcmn_tf.video.windows import count_windows

from . import mirroring

FAILURES = "failures"
FOLDERS = ("features", "clips", FAILURES)  # of the records folder
POLL_SECONDS = 1.0
PARTITION_OPTIONS = ("--dask_npartitions", "--dask_partition_size")
DASK_RUNNER = "apache_beam.runners.dask.dask_runner.DaskRunner"


class _OutputError(Exception):
    """A file of the records folder cannot be written."""


@dataclasses.dataclass(frozen=True)
class FileFacts:
    """Identifies the content of a file: size in bytes, time of modification and SHA-256."""

    size: int
    modified_ns: int
    sha256: str

    @classmethod
    def of(cls, path: str) -> "FileFacts":
        """Reads the whole file."""
        status = os.stat(path)
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(status.st_size, status.st_mtime_ns, digest)


@dataclasses.dataclass(frozen=True)
class VideoFacts:
    """Properties of a decoded video file.

    Attributes:
        frame_count: number of decoded frames.
        width: frame width in pixels.
        height: frame height in pixels.
        fps: frames per second, by the time stamps.
        declared_fps: frames per second, as declared by the file.
        declared_frames: number of frames, as declared by the file; 0 if unknown.
        times: time of each frame, in seconds.
        end_time: end of the last frame, in seconds.
        is_hdr: whether the video has a high dynamic range, which is decoded as if it had not.
        notices: what to tell the user of the file (`reading.FrameStream.notices`).
        source_frames: source frame of each resampled frame
            (`frame_rates.Timeline.source_frames`); None without resampling.
        file: the file that the features were made of; None in records of older versions.
    """

    frame_count: int
    width: int
    height: int
    fps: float
    declared_fps: float
    declared_frames: int
    times: list[float]
    end_time: float
    is_hdr: bool
    notices: list[str]
    source_frames: list[int] | None = None
    file: "FileFacts | None" = None

    @classmethod
    def from_features(
        cls, made: extraction.ExtractedFeatures, file: "FileFacts | None" = None
    ) -> "VideoFacts":
        """Creates the facts from the result of an extraction."""
        source, timeline = made.source, made.timeline
        shown = timeline.source_frames
        return cls(
            timeline.frame_count,
            made.width,
            made.height,
            source.fps,
            made.declared.fps,
            made.declared.declared_frames,
            np.round(timeline.times, 6).tolist(),
            round(timeline.end_time, 6),
            made.is_hdr,
            made.notices,
            None if shown is None else shown.tolist(),
            file,
        )

    def are_valid(self) -> bool:
        """Whether the facts fit together; some `TypeError` or `ValueError` are not caught."""
        counts = (self.frame_count, self.width, self.height)
        rates = (self.fps, self.declared_fps)
        bounds = np.array([*self.times, self.end_time], np.float64)
        shown = np.array([0] if self.source_frames is None else self.source_frames)
        return (
            all(type(count) is int and count > 0 for count in counts)
            and type(self.declared_frames) is int
            and all(is_number(rate, most=np.inf) and rate > 0 for rate in rates)
            and bounds.shape == (self.frame_count + 1,)
            and bool(np.isfinite(bounds).all() and (np.diff(bounds) >= 0).all())
            and shown.dtype == np.int64
            and shown.ndim == 1
            and bool((np.diff(shown, prepend=0, append=self.frame_count - 1) >= 0).all())
            and all(isinstance(notice, str) for notice in self.notices)
            and (self.file is None or isinstance(self.file.sha256, str))
        )

    @property
    def timeline(self) -> Timeline:
        """Frame times of the file, not resampled."""
        return Timeline(np.array(self.times), self.end_time)

    @property
    def windows(self) -> int:
        """Number of feature windows of the video."""
        shown = self.source_frames
        return count_windows(self.frame_count if shown is None else len(shown))


def _facts_path(output_dir, video_id):
    stem, _ = os.path.splitext(feature_records.features_file(video_id))
    return os.path.join(output_dir, f"{stem}.json")


def _failure_path(output_dir, video_id):
    return os.path.join(output_dir, FAILURES, f"{feature_records.file_stem(video_id)}.json")


def _read_facts(output_dir, video_id):
    """Reads the facts of a video; None if its features or some facts have not been extracted.

    Raises:
        ValueError: the file with the facts is damaged.
    """
    path = _facts_path(output_dir, video_id)
    made = os.path.exists(os.path.join(output_dir, feature_records.features_file(video_id)))
    if not made or not os.path.exists(path):
        return None
    known = read_json(path)
    names = {field.name for field in dataclasses.fields(VideoFacts)}
    if isinstance(known, dict) and known.keys() | {"file"} != names:
        return None
    try:
        file = known.get("file")
        facts = VideoFacts(**known | {"file": None if file is None else FileFacts(**file)})
        valid = facts.are_valid()
    except (AttributeError, TypeError, ValueError):
        valid = False
    if not valid:
        raise ValueError(f"{path}: does not describe a video; delete it and run data.prepare again")
    return facts


def _remove_if_outdated(output_dir, video_id, path):
    """Removes the features of a video whose file has changed; a missing file has not."""
    known = _read_facts(output_dir, video_id)
    if known is None or known.file is None or not os.path.isfile(path):
        return
    status = os.stat(path)
    if (status.st_size, status.st_mtime_ns) == (known.file.size, known.file.modified_ns):
        return
    # Copying a file changes its time only.
    now = FileFacts.of(path)
    if now.sha256 == known.file.sha256:
        changed = dataclasses.replace(known, file=now)
        write_json(_facts_path(output_dir, video_id), dataclasses.asdict(changed))
        return
    absl.logging.warning(
        "%s: has changed; its features are made anew. Prepare all splits with this video again",
        path,
    )
    os.remove(os.path.join(output_dir, feature_records.features_file(video_id)))


def extract_video(
    extractor: extraction.FeatureExtractor, path: str, video_id: str, output_dir: str
) -> None:
    """Extracts and writes the features of a video; the output bytes are deterministic.

    Frames are mirrored if `video_id` is the id of a mirrored video (`data.mirroring`).

    Args:
        extractor: feature extractor.
        path: video file.
        video_id: id of the video.
        output_dir: records folder.

    Raises:
        FileNotFoundError: the video file does not exist.
        video.VideoError: no frame can be decoded, or the time stamps cannot be resampled.
    """
    _write(*_extract(extractor, path, video_id), output_dir)


def _extract(extractor, path, video_id):
    mirrored = mirroring.is_mirrored(video_id)
    # Before the extraction, so that a file that changes meanwhile is noticed by the next run.
    file = None
    with contextlib.suppress(OSError):  # the extraction tells what is wrong with the file
        file = FileFacts.of(path) if os.path.isfile(path) else None
    return extractor.extract(path, video_id, mirrored=mirrored), file


def _write(made, file, output_dir):
    facts = VideoFacts.from_features(made, file)
    write_json(_facts_path(output_dir, made.video_id), dataclasses.asdict(facts))
    # Written last: a video is complete when its feature file exists.
    feature_records.write_video_features(output_dir, made)


class ExtractFeatures(beam.DoFn):
    """Extracts and writes the features of videos `(id, path)`, or writes the reason of a failure.

    Args:
        make_extractor: creates the extractor; called once per process.
        shared: Beam handle of the extractor shared within a process.
        output_dir: records folder.
    """

    def __init__(self, make_extractor, shared, output_dir):
        super().__init__()
        self._make_extractor = make_extractor
        self._shared = shared
        self._output_dir = output_dir
        self._extractor = None

    def setup(self):
        """Creates the extractor, unless this process already has one."""
        self._extractor = self._shared.acquire(self._make_extractor)

    def process(self, element):
        """Processes one video; an invalid video does not stop the pipeline. Returns no elements."""
        video_id, path = element
        try:
            made, file = _extract(self._extractor, path, video_id)
            with _output_errors(self._output_dir):
                _write(made, file, self._output_dir)
        except (_OutputError, MemoryError, tf.errors.ResourceExhaustedError):
            raise  # not caused by the video
        except Exception as error:
            reason = f"video {video_id}: {error}"
            with _output_errors(self._output_dir):
                write_json(_failure_path(self._output_dir, video_id), {"reason": reason})
        return ()


@contextlib.contextmanager
def _output_errors(output_dir):
    try:
        yield
    except OSError as error:
        raise _OutputError(f"{error.filename or output_dir}: {error.strerror}") from error


def extract_videos(
    make_extractor: Callable[[], extraction.FeatureExtractor],
    paths: Mapping[str, str],
    output_dir: str,
    beam_options: Sequence[str] = (),
) -> tuple[dict[str, VideoFacts], dict[str, str]]:
    """Extracts the missing features.

    Args:
        make_extractor: creates the extractor; called once per process, only if features are
            missing. Must be picklable for distributed runners.
        paths: video paths by id.
        output_dir: records folder.
        beam_options: command-line options of the Beam pipeline.

    Returns:
        Facts of the extracted videos by id, and failure reasons of the other videos by id.

    Raises:
        ValueError: a file cannot be written, for instance because the disk is full.
    """
    _remove_leftovers(output_dir)
    for vid, path in paths.items():
        _remove_if_outdated(output_dir, vid, path)
    videos = {vid: _read_facts(output_dir, vid) for vid in paths}
    waiting = [vid for vid, known in videos.items() if known is None]
    if waiting:
        shared = Shared()
        options = PipelineOptions(with_small_partitions(beam_options))
        # In this process `make_extractor` may have loaded the weights; a pickled copy has not.
        extractor = shared.acquire(make_extractor) if _runs_here(options) else None
        pipeline = _create_pipeline(options)
        _ = (
            pipeline
            | "Videos" >> beam.Create([(vid, paths[vid]) for vid in waiting])
            | "Spread" >> beam.Reshuffle()
            | "Extract" >> beam.ParDo(ExtractFeatures(make_extractor, shared, output_dir))
        )
        with (
            interruption.ending_workers(_kill_child_processes),
            _progress(waiting, len(paths), output_dir),
        ):
            _run(pipeline)
        del extractor
        _remove_leftovers_of_workers(output_dir)
    failures = {}
    for vid in waiting:
        videos[vid] = _read_facts(output_dir, vid)
        if videos[vid] is None:
            failures[vid] = read_json(_failure_path(output_dir, vid))["reason"]
            del videos[vid]
    return videos, failures


def with_small_partitions(beam_options: Sequence[str]) -> list[str]:
    """Adds that a partition of a Dask cluster has one video, unless the options say otherwise.

    By default Beam gives 128 videos to a worker at a time, while others may have none.
    """
    is_dask = any(option.endswith("DaskRunner") for option in beam_options)
    is_given = any(option.startswith(PARTITION_OPTIONS) for option in beam_options)
    return [*beam_options, *(["--dask_partition_size=1"] if is_dask and not is_given else [])]


def _runs_here(options):
    return options.view_as(StandardOptions).runner in (None, "DirectRunner")


def _create_pipeline(options):
    runner = None
    if options.view_as(StandardOptions).runner == "DaskRunner":
        # Beam knows it only by its full name.
        options.view_as(StandardOptions).runner = DASK_RUNNER
    if _runs_here(options):
        environment = None
        direct = options.view_as(DirectOptions)
        if direct.direct_running_mode == "multi_processing":
            # Beam's command, except that SIGINT, at which workers print tracebacks, is ignored.
            environment = SubprocessSDKEnvironment.from_command_string(
                f"trap '' INT; exec {shlex.quote(sys.executable)} "
                "-m apache_beam.runners.worker.sdk_worker_main"
            )
            direct.direct_running_mode = None
        # Beam's DirectRunner first tries to download a binary before it falls back to this runner.
        runner = FnApiRunner(environment)
    return beam.Pipeline(runner=runner, options=options)


def _run(pipeline):
    """Runs a pipeline; `ValueError` if a worker cannot write a file."""
    log = logging.getLogger("apache_beam.runners.common")
    log.disabled = True  # it logs exceptions, which are raised here as well
    try:
        result = pipeline.run()
        try:
            result.wait_until_finish()
        finally:
            if hasattr(result, "client"):  # Dask's; open, it tries to connect for ever
                result.client.close()
    except Exception as error:
        # Beam passes the exceptions of other processes as text.
        text = f"{type(error).__name__}: {error}"
        found = re.search(rf"{_OutputError.__name__}: (.+) \[while running ", text)
        if found is None:
            raise
        raise ValueError(found[1]) from error
    finally:
        log.disabled = False


def _kill_child_processes():
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _remove_leftovers_of_workers(output_dir):
    """Removes temporary files of workers that were killed."""
    for name in FOLDERS:
        remove_temporary_files(os.path.join(output_dir, name), (".json", ".tfrecord"))


def _remove_leftovers(output_dir):
    """Removes temporary files of interrupted runs, and the failure reports of the last run."""
    failures = os.path.join(output_dir, FAILURES)
    _remove_leftovers_of_workers(output_dir)
    for path in glob.glob(os.path.join(glob.escape(failures), "*.json")):
        os.remove(path)
    with contextlib.suppress(OSError):  # missing, or somebody's files are in it
        os.rmdir(failures)


@contextlib.contextmanager
def _progress(waiting, total, output_dir) -> Iterator[None]:
    """Shows the number of completed videos, on any runner, by polling the records folder."""
    left = list(waiting)
    stop = threading.Event()
    start = time.monotonic()

    def watch():
        windows = 0
        with tqdm.tqdm(
            total=total, initial=total - len(left), desc="features", unit="video"
        ) as line:
            while True:
                last = stop.wait(POLL_SECONDS)
                before = len(left)
                for vid in list(left):
                    known = _read_facts(output_dir, vid)
                    if known is not None or os.path.exists(_failure_path(output_dir, vid)):
                        left.remove(vid)
                        windows += 0 if known is None else known.windows
                if before != len(left):
                    rate = windows / (time.monotonic() - start)
                    line.set_postfix_str(f"{rate:.1f} windows/s", refresh=False)
                    line.update(before - len(left))
                if last:
                    return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()
