"""Features of many videos, as an Apache Beam pipeline in which each video is an element.

Beam's DirectRunner, the default, does them one after the other in this process, where TensorFlow
uses all cores or the GPU; any other runner deals them out over a cluster. Then the project must be
installed on the workers, and the records folder and the videos must be on a disk that all mount.

Every video leaves, in the records folder, its features and a .json with what clips need to know of
it; or failures/VIDEO.json, which says why it has none. A video with features is never done again,
one that failed is tried at each run.
"""

import contextlib
import dataclasses
import os
import shutil
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence

import apache_beam as beam
import tqdm
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from apache_beam.utils.shared import Shared

from gkcmn_tf.features import extraction, feature_storage
from gkcmn_tf.files import read_json, remove_temporary_files, write_json
from gkcmn_tf.video.windows import count_windows

from . import mirroring

FAILURES = "failures"
POLL_SECONDS = 1.0


@dataclasses.dataclass(frozen=True)
class DecodedVideo:
    """What clips need to know of a video.

    Its size in pixels, the frames that were decoded, and which of them each frame of the features
    shows if they were resampled (`frame_rates.Timeline.source_frames`).
    """

    frame_count: int
    width: int
    height: int
    source_frames: list[int] | None = None

    @classmethod
    def from_features(cls, made: extraction.ExtractedFeatures) -> "DecodedVideo":
        """What a fresh extraction tells."""
        shown = made.timeline.source_frames
        return cls(
            made.timeline.frame_count,
            made.width,
            made.height,
            None if shown is None else shown.tolist(),
        )

    @property
    def windows(self) -> int:
        """Feature windows of the video."""
        shown = self.source_frames
        return count_windows(self.frame_count if shown is None else len(shown))


def _facts_path(output_dir, video_id):
    stem, _ = os.path.splitext(feature_storage.features_file(video_id))
    return os.path.join(output_dir, f"{stem}.json")


def _failure_path(output_dir, video_id):
    return os.path.join(output_dir, FAILURES, f"{urllib.parse.quote(video_id, safe='')}.json")


def _read_facts(output_dir, video_id):
    """What is known of a video whose features are made; None if they are not."""
    path = _facts_path(output_dir, video_id)
    made = os.path.exists(os.path.join(output_dir, feature_storage.features_file(video_id)))
    return DecodedVideo(**read_json(path)) if made and os.path.exists(path) else None


def extract_video(
    extractor: extraction.FeatureExtractor, path: str, video_id: str, output_dir: str
) -> None:
    """Makes and writes one video's features; the same video always gives the same bytes.

    An id of `data.mirroring` gets those of the mirrored video.

    Raises:
        FileNotFoundError: no such file.
        video.VideoError: not one frame can be decoded, or its time stamps cannot be resampled.
    """
    mirrored = mirroring.is_mirrored(video_id)
    made = extractor.extract(path, video_id, mirrored=mirrored)
    facts = DecodedVideo.from_features(made)
    write_json(_facts_path(output_dir, video_id), dataclasses.asdict(facts))
    # Last, since a video counts as done once its features are there.
    feature_storage.write_video_features(output_dir, made)


class ExtractFeatures(beam.DoFn):
    """Makes and writes the features of the videos `(id, path)`, or notes why it cannot.

    Args:
        make_extractor: called once a process.
        shared: holds the extractor of a process.
        output_dir: the records folder.
    """

    def __init__(self, make_extractor, shared, output_dir):
        super().__init__()
        self._make_extractor = make_extractor
        self._shared = shared
        self._output_dir = output_dir
        self._extractor = None

    def setup(self):
        """Builds the network, unless this process has it."""
        self._extractor = self._shared.acquire(self._make_extractor)

    def process(self, element):
        """Yields nothing; whatever is wrong with a video is no reason to stop."""
        video_id, path = element
        try:
            extract_video(self._extractor, path, video_id, self._output_dir)
        except Exception as error:
            # A full disk or a folder that may not be written is not the video's fault.
            if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
                raise
            reason = f"video {video_id}: {error}"
            write_json(_failure_path(self._output_dir, video_id), {"reason": reason})
        return ()


def extract_videos(
    make_extractor: Callable[[], extraction.FeatureExtractor],
    paths: Mapping[str, str],
    output_dir: str,
    beam_options: Sequence[str] = (),
) -> tuple[dict[str, DecodedVideo], dict[str, str]]:
    """Makes the features that are not there yet.

    Args:
        make_extractor: called only if a feature is missing, once a process; picklable, since the
            workers of other runners call it too.
        paths: of the videos, by id.
        output_dir: the records folder.
        beam_options: as on the command line of a Beam program.

    Returns:
        what is known of each video, and for the others the reason.
    """
    _remove_leftovers(output_dir)
    videos = {vid: _read_facts(output_dir, vid) for vid in paths}
    waiting = [vid for vid, known in videos.items() if known is None]
    if waiting:
        shared = Shared()
        options = PipelineOptions(list(beam_options))
        # Here `make_extractor` may have read the weights already; its pickled copy has not.
        extractor = shared.acquire(make_extractor) if _runs_here(options) else None
        pipeline = _create_pipeline(options)
        _ = (
            pipeline
            | "Videos" >> beam.Create([(vid, paths[vid]) for vid in waiting])
            | "Spread" >> beam.Reshuffle()
            | "Extract" >> beam.ParDo(ExtractFeatures(make_extractor, shared, output_dir))
        )
        with _progress(waiting, len(paths), output_dir):
            pipeline.run().wait_until_finish()
        del extractor
    failures = {}
    for vid in waiting:
        videos[vid] = _read_facts(output_dir, vid)
        if videos[vid] is None:
            failures[vid] = read_json(_failure_path(output_dir, vid))["reason"]
            del videos[vid]
    return videos, failures


def _runs_here(options):
    return options.view_as(StandardOptions).runner in (None, "DirectRunner")


def _create_pipeline(options):
    # Beam's own DirectRunner tries to download a binary and only then takes this runner.
    return beam.Pipeline(runner=FnApiRunner() if _runs_here(options) else None, options=options)


def _remove_leftovers(output_dir):
    """Removes half-written files of a run that was killed, and the failures of the one before."""
    remove_temporary_files(output_dir)
    shutil.rmtree(os.path.join(output_dir, FAILURES), ignore_errors=True)


@contextlib.contextmanager
def _progress(waiting, total, output_dir) -> Iterator[None]:
    """Shows how many videos are done, whoever does them, by looking into the folder."""
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
