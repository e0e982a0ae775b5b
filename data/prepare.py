r"""Converts the videos and annotations of a data set to records for training.

Example:
    python -m data.prepare --dataset=vidstg --annotation_dir=vidstg/annotations \
        --vidor_dir=vidor/annotation --video_dir=vidor/video --output_dir=runs/vidstg/records

The input files are documented in `data.vidstg`, `data.hcstvg` and `data.custom`. With
--annotations_only, sentences are counted without reading videos.

The features of each video are computed once. To resume an interrupted run, repeat the command.
Skipped sentences are listed with reasons in manifest.json.

Absent sentences of a split (see `data.vidstg_contrasts`) become a split SPLIT_absent, which
gkcmn_tf.evaluate reads with SPLIT.

Features are extracted by an Apache Beam pipeline; see data.extract_features. On a cluster:
    python -m data.prepare ... --runner=DaskRunner --dask_scheduler=host:8786

The output folder also contains settings.json (settings of the features, written first) and a small
.json file of metadata for each video, next to its features.
"""

import collections
import dataclasses
import enum
import json
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence

from absl import app, flags, logging

from gkcmn_tf import program, tubes
from gkcmn_tf.features import extraction, quantization
from gkcmn_tf.files import read_json, write_json
from gkcmn_tf.folder_lock import LOCK_FILE, folder_lock
from gkcmn_tf.i3d import published_weights, weight_sources
from gkcmn_tf.json_fields import JsonObject, errors_in, json_object
from gkcmn_tf.records import clip_records
from gkcmn_tf.records.clip_records import Clip
from gkcmn_tf.text import standardization

from . import datasets, extract_features, mirroring
from .annotations import Skipped, SplitAnnotations, resample_clip, retime_clip

FLAGS = flags.FLAGS
RESUMES = True
CLIPS_PER_SHARD = 512
PAPER_MAX_WORDS = 20
RE_ENCODED_FRAMES = 2  # frames by which re-encoding may shorten or lengthen a video
SAME_RATE = 0.01  # relative difference of rates that were rounded, or of uneven frames


def define_flags() -> None:
    """Defines the program's flags."""
    datasets.define_flags()
    flags.adopt_module_key_flags(datasets)
    flags.DEFINE_string("output_dir", None, "Folder for the records.")
    flags.DEFINE_string(
        "i3d_weights",
        published_weights.KINETICS_400,
        weight_sources.DESCRIPTION,
    )
    flags.DEFINE_enum(
        "compute_dtype", "float32", extraction.COMPUTE_DTYPES, "Dtype of I3D's computations."
    )
    flags.DEFINE_enum(
        "storage_dtype", "float16", quantization.STORAGE_DTYPES, "Dtype of stored features."
    )
    flags.DEFINE_float(
        "fps",
        None,
        "Frame rate to resample videos and annotations to; default: all frames are used.",
    )
    flags.DEFINE_list(
        "mirror",
        [],
        "Splits to prepare a second time with mirrored videos, as SPLIT_mirrored.",
    )
    flags.DEFINE_string("runner", "DirectRunner", "Apache Beam runner for the feature extraction.")
    flags.DEFINE_string(
        "dask_scheduler", None, "HOST:PORT of the scheduler of a Dask cluster, with DaskRunner."
    )
    flags.DEFINE_string("beam_options", "", "Further options of the runner, quoted as in a shell.")
    flags.DEFINE_integer(
        "batch_size", 4, "Windows per batch of I3D; use more on a GPU.", lower_bound=1
    )
    flags.register_multi_flags_validator(
        ["dask_scheduler", "runner"],
        lambda values: (values["dask_scheduler"] is None) == (values["runner"] != "DaskRunner"),
        "--runner=DaskRunner and --dask_scheduler must be given together",
    )
    flags.register_multi_flags_validator(
        ["output_dir", "annotations_only"],
        lambda values: values["output_dir"] or values["annotations_only"],
        "--output_dir is required, unless --annotations_only is given",
    )


def main(argv):
    """Reads annotations, extracts features, writes clips and manifest, and prints a summary."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    logging.set_verbosity(logging.INFO)
    arguments = {
        flag.name: flag.value for flag in FLAGS.get_key_flags_for_module(sys.modules[__name__])
    }
    if FLAGS.annotations_only:
        for split, account in datasets.account_annotations().items():
            print(json.dumps({"split": split, **account.to_json()}))
        return
    annotations = datasets.read_annotations()
    if unknown := sorted(set(FLAGS.mirror) - annotations.keys()):
        raise app.UsageError(f"--mirror: {unknown} not among the splits {list(annotations)}")
    for split in FLAGS.mirror:
        mirrored = mirroring.mirror_split(annotations[split])
        annotations[split + mirroring.SPLIT_SUFFIX] = mirrored
    try:
        beam_options = [f"--runner={FLAGS.runner}", *shlex.split(FLAGS.beam_options)]
    except ValueError as error:
        raise app.UsageError(f"--beam_options={FLAGS.beam_options}: {error}") from error
    if FLAGS.dask_scheduler is not None:
        beam_options.append(f"--dask_client_address={FLAGS.dask_scheduler}")
    make_extractor = extraction.ExtractorFactory(
        FLAGS.i3d_weights,
        compute_dtype=FLAGS.compute_dtype,
        fps=FLAGS.fps,
        storage_dtype=FLAGS.storage_dtype,
        batch_size=FLAGS.batch_size,
    )
    manifest = prepare(
        annotations,
        make_extractor,
        fingerprint=make_extractor.fingerprint,
        dataset=FLAGS.dataset,
        video_dir=FLAGS.video_dir,
        output_dir=FLAGS.output_dir,
        arguments=arguments,
        beam_options=beam_options,
    )
    print(json.dumps(summarise(manifest, FLAGS.output_dir)))


def prepare(
    annotations: Mapping[str, SplitAnnotations],
    make_extractor: Callable[[], extraction.FeatureExtractor],
    *,
    fingerprint: dict,
    dataset: str,
    video_dir: str,
    output_dir: str,
    arguments: dict,
    beam_options: Sequence[str] = (),
) -> dict:
    """Creates or completes a records folder.

    Args:
        annotations: annotations by split.
        make_extractor: builds the feature extractor if features are missing; picklable.
        fingerprint: fingerprint of the extractor.
        dataset: name of the data set.
        video_dir: folder of the paths in `SplitAnnotations.videos`.
        output_dir: records folder; existing splits are kept.
        arguments: arguments of the program, for the manifest.
        beam_options: options of the Beam pipeline.

    Returns:
        the content of `manifest.json`.

    Raises:
        ValueError: the folder contains features with other settings, is not empty and not a records
            folder, or is in use by another process; or no video can be read.
    """
    with folder_lock(output_dir):
        settings = {
            "schema_version": clip_records.SCHEMA_VERSION,
            "dataset": dataset,
            "features": fingerprint,
        }
        _claim_folder(output_dir, settings)
        paths = {
            vid: os.path.join(video_dir, path)
            for split in annotations.values()
            for vid, path in split.videos.items()
        }
        videos, failures = extract_features.extract_videos(
            make_extractor, paths, output_dir, beam_options
        )
        if paths and not videos:
            raise ValueError(
                f"not one of {len(paths)} videos can be read; is --video_dir={video_dir} right? "
                f"The first: {next(iter(failures.values()))}"
            )
        manifest_path = os.path.join(output_dir, clip_records.MANIFEST)
        done = {}
        if os.path.exists(manifest_path):
            before = read_json(manifest_path, object_pairs_hook=JsonObject)
            with errors_in(manifest_path):
                done = json_object(before, "splits")
        written = {
            split: _write_split(split, found, videos, failures, output_dir, fingerprint["fps"])
            | {"arguments": arguments}
            for split, found in annotations.items()
        }
        manifest = settings | {"splits": done | written}
        write_json(manifest_path, manifest)
        return manifest


def summarise(manifest: dict, output_dir: str) -> dict:
    """Returns a short form of the manifest: counts by split."""
    keys = ("videos", "clips", "sentences")
    splits = {name: {key: split[key] for key in keys} for name, split in manifest["splits"].items()}
    return {"output_dir": output_dir, "splits": splits}


def _claim_folder(output_dir, settings):
    """Writes the settings of a new folder, or checks those of an existing one."""
    path = os.path.join(output_dir, clip_records.SETTINGS)
    if not os.path.exists(path):
        # A killed run may have left the temporary file of the settings.
        others = [
            name for name in os.listdir(output_dir) if not name.startswith(clip_records.SETTINGS)
        ]
        if set(others) - {LOCK_FILE}:
            raise ValueError(
                f"{output_dir}: is not empty and has no {clip_records.SETTINGS}, so it is not a "
                "records folder; use another --output_dir"
            )
        write_json(path, settings)
        return
    before = read_json(path, object_pairs_hook=JsonObject)
    with errors_in(path):
        json_object(before, "features")
    clip_records.check_schema(output_dir)
    differing = [] if before.get("dataset") == settings["dataset"] else ["dataset"]
    differing += extraction.differences(before["features"], settings["features"])
    if differing:
        values = [
            f"{key}: {(before | before['features']).get(key)!r} there, "
            f"{(settings | settings['features']).get(key)!r} now"
            for key in differing
        ]
        raise ValueError(
            f"{output_dir}: was created with other settings ({'; '.join(values)}); use another "
            "--output_dir, or the same --dataset, --i3d_weights, --compute_dtype, --storage_dtype "
            "and --fps"
        )


def fit_to_video(
    clip: Clip, decoded: extract_features.VideoFacts
) -> tuple[Clip | None, list[Skipped]]:
    """Cuts a clip and its sentences to the frames that can be decoded.

    A clip whose annotated frame is upright and whose video is wide, or the other way round, is
    left out: its boxes belong to another picture. Boxes of other sizes are scaled to the video.

    Returns:
        the clip, None if no sentence remains, and the skipped sentences.
    """
    if (clip.width - clip.height) * (decoded.width - decoded.height) < 0:
        reason = (
            f"video {clip.video_id}: is {decoded.width}x{decoded.height}, annotated as "
            f"{clip.width}x{clip.height}: width and height are swapped, so boxes do not fit"
        )
        return None, [Skipped(sentence.id, reason) for sentence in clip.sentences]
    kept, skipped = [], []
    for sentence in clip.sentences:
        place = clip if sentence.is_absent else sentence
        end = min(place.end, decoded.frame_count)
        if place.begin >= end:
            part = f"{'clip' if sentence.is_absent else 'segment'} [{place.begin}, {place.end})"
            reason = (
                f"video {clip.video_id}: its {part} begins after the {decoded.frame_count} frames "
                "that can be decoded"
            )
            skipped.append(Skipped(sentence.id, reason))
            continue
        if sentence.is_absent:
            kept.append(sentence)
            continue
        boxes = sentence.boxes[: end - sentence.begin]
        kept.append(dataclasses.replace(sentence, end=end, boxes=boxes))
    if not kept:
        return None, skipped
    fitted = dataclasses.replace(
        clip,
        end=min(clip.end, decoded.frame_count),
        frame_count=decoded.frame_count,
        sentences=tuple(kept),
    )
    return fitted, skipped


def to_file_frames(
    clip: Clip, decoded: extract_features.VideoFacts
) -> tuple[Clip | None, list[Skipped]]:
    """Maps a clip from the frames of the annotated video to those of the file.

    The two differ if the file was re-encoded at another frame rate.

    Returns:
        the clip, None if no sentence is left, and the sentences left out: those whose frames are
        not in the file, and all of a video that differs in rate and count by different factors.
    """
    match = _match_frames(clip, decoded)
    if match is _Match.SAME:
        return clip, []
    if match is _Match.BY_TIME:
        return retime_clip(clip, decoded.timeline, decoded.fps)
    reason = (
        f"video {clip.video_id}: has {decoded.frame_count} frames at {decoded.fps:g} frames per "
        f"second, annotated as {clip.frame_count} at {clip.fps:g}, so the frames that the "
        "annotation means are unknown; use the file that was annotated"
    )
    return None, [Skipped(sentence.id, reason) for sentence in clip.sentences]


class _Match(enum.Enum):
    """How the frames of an annotation relate to those of the file."""

    SAME = enum.auto()
    BY_TIME = enum.auto()
    UNKNOWN = enum.auto()


def _match_frames(clip, decoded):
    annotated, factor = clip.frame_count, decoded.fps / clip.fps
    counts = (decoded.frame_count, decoded.declared_frames)
    if any(abs(count - annotated) <= 1 for count in counts):
        return _Match.SAME
    if abs(factor - 1) * annotated <= 1:  # one rate: the file is cut or damaged
        return _Match.SAME
    if abs(decoded.frame_count - annotated * factor) <= RE_ENCODED_FRAMES * max(factor, 1):
        return _Match.BY_TIME
    rates = (decoded.fps, decoded.declared_fps)
    if any(abs(rate / clip.fps - 1) <= SAME_RATE for rate in rates):
        return _Match.SAME
    return _Match.UNKNOWN


def _write_split(split, annotations, videos, failures, output_dir, fps):
    """Writes the clips of a split, resampled to `fps`; returns its part of the manifest."""
    clips, skipped, between_frames = _fit_clips(annotations, videos, failures, fps)
    num_shards = max(1, -(-len(clips) // CLIPS_PER_SHARD))
    shards = clip_records.write_clips(output_dir, split, clips, num_shards)
    pairs = _kept_pairs(annotations.pairs, clips)
    clip_records.write_pairs(output_dir, split, pairs)
    video_notices = _video_notices(annotations, videos)
    _warn(split, skipped, video_notices)
    if not clips:
        logging.warning("%s: no sentence can be used", split)
    notices = collections.Counter(annotations.notices)
    if fps is not None:
        notices["sentences_between_resampled_frames"] += between_frames
    return {
        **_counts(clips, skipped),
        **({"pairs": len(pairs)} if pairs else {}),
        "shards": [os.path.relpath(shard, output_dir) for shard in shards],
        "notices": {
            **dict(sorted(notices.items())),
            f"sentences_over_{PAPER_MAX_WORDS}_words": _count_long_sentences(clips),
            "hdr_videos": _count_hdr(annotations, videos),
            "videos_with_notice": len(video_notices),
        },
        "video_notices": video_notices,
        "skipped": [dataclasses.asdict(sentence) for sentence in skipped],
    }


def _kept_pairs(pairs, clips):
    """Returns the pairs of which both sentences are in the clips."""
    kept = {sentence.id for clip in clips for sentence in clip.sentences}
    return [pair for pair in pairs if pair.first in kept and pair.second in kept]


def _fit_clips(annotations, videos, failures, fps):
    """Maps the clips of a split to the frames of their features.

    Returns:
        the clips that have sentences, the skipped sentences sorted by id, and the number of
        sentences skipped since they are between resampled frames.
    """
    clips, skipped, between_frames = [], list(annotations.skipped), 0
    for clip in annotations.clips:
        if clip.video_id in failures:
            reason = failures[clip.video_id]
            skipped += [Skipped(sentence.id, reason) for sentence in clip.sentences]
            continue
        decoded = videos[clip.video_id]
        if clip.video_id in annotations.in_file_frames:
            fitted, left_out = dataclasses.replace(clip, fps=decoded.fps), []
        else:
            fitted, left_out = to_file_frames(clip, decoded)
        skipped += left_out
        if fitted is not None:
            fitted, left_out = fit_to_video(fitted, decoded)
            skipped += left_out
        if fitted is not None and fps is not None:
            fitted, left_out = resample_clip(fitted, decoded.source_frames, fps)
            skipped += left_out
            between_frames += len(left_out)
        if fitted is not None:
            clips.append(fitted)
    return clips, sorted(skipped, key=lambda sentence: sentence.id), between_frames


def _warn(split, skipped, video_notices):
    """Logs skipped sentences by reason and videos that differ from their annotations."""
    reasons = collections.Counter(sentence.reason for sentence in skipped)
    for reason, count in reasons.items():
        logging.warning("%s: %d sentence(s) skipped: %s", split, count, reason)
    for notice in video_notices:
        logging.warning("%s: video %s: %s", split, notice["id"], notice["notice"])


def _counts(clips, skipped):
    """Returns the numbers of videos, clips and sentences of a split."""
    qtypes = collections.Counter(sentence.qtype for clip in clips for sentence in clip.sentences)
    kept = qtypes.total()
    return {
        "videos": len({clip.video_id for clip in clips}),
        "clips": len(clips),
        "sentences": {
            "total": kept + len(skipped),
            "kept": kept,
            "skipped": len(skipped),
            **{qtype: qtypes[qtype] for qtype in tubes.QTYPES},
        },
    }


def _count_long_sentences(clips):
    texts = [sentence.text for clip in clips for sentence in clip.sentences]
    return sum(len(words) > PAPER_MAX_WORDS for words in standardization.split_words(texts))


def _count_hdr(annotations, videos):
    return sum(vid in videos and videos[vid].is_hdr for vid in annotations.videos)


def _video_notices(annotations, videos):
    """Returns the differences between videos and their annotations or declared properties."""
    notices = {}
    for clip in annotations.clips:
        decoded = videos.get(clip.video_id)
        if decoded is None:
            continue
        found = []
        in_file_frames = clip.video_id in annotations.in_file_frames
        match = _Match.SAME if in_file_frames else _match_frames(clip, decoded)
        if match is not _Match.SAME:
            found.append(
                f"has {decoded.frame_count} frames at {decoded.fps:g} frames per second, annotated "
                f"as {clip.frame_count} at {clip.fps:g}; "
                + ("mapped by time" if match is _Match.BY_TIME else "left out")
            )
        elif decoded.frame_count < clip.frame_count:
            found.append(f"{decoded.frame_count} of {clip.frame_count} frames can be decoded")
        elif decoded.frame_count > clip.frame_count > 0:
            found.append(f"has {decoded.frame_count} frames, annotated as {clip.frame_count}")
        if (decoded.width, decoded.height) != (clip.width, clip.height):
            found.append(
                f"is {decoded.width}x{decoded.height}, annotated as {clip.width}x{clip.height}"
            )
        found += decoded.notices
        if found:
            notices[clip.video_id] = "; ".join(found)
    return [{"id": vid, "notice": notice} for vid, notice in sorted(notices.items())]


if __name__ == "__main__":
    program.run(main, define_flags)
