r"""Finds what a sentence describes in a video: from when to when, and where in every frame.

Example:
    python -m gkcmn_tf.ground --model_dir=runs/demo --video=park.mp4 \
        --query="the red square moving left"

Prints one line of JSON for each query: {"query", "begin", "end" (frames, half-open),
"begin_seconds", "end_seconds", "score", "boxes": {"frame": [x1, y1, x2, y2] in pixels}}. Frames are
those of the file, each one counted, though the model was trained on resampled videos; seconds come
from their time stamps, and count from the first frame. Writes a video and a strip of stills with
the tube drawn in to --output_dir.
"""

import json
import os

import numpy as np
import tensorflow as tf
from absl import app, flags, logging

from gkcmn_tf import tubes
from gkcmn_tf.features import extraction
from gkcmn_tf.features.feature_storage import VideoFeatures
from gkcmn_tf.queries import check_words, clip_bounds, in_file_frames
from gkcmn_tf.records import input_pipeline
from gkcmn_tf.text import standardization, tokenization
from gkcmn_tf.training import run_folder
from gkcmn_tf.visualization import overlays
from gkcmn_tf.visualization.output_names import output_name

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_string("model_dir", None, "Folder of a run of gkcmn_tf.train.", required=True)
    flags.DEFINE_string("video", None, "Video file.", required=True)
    flags.DEFINE_multi_string(
        "query", None, "Sentence; several share the work on the video.", required=True
    )
    flags.DEFINE_integer("begin", 0, "First frame of the clip to search.", lower_bound=0)
    flags.DEFINE_integer("end", None, "Frame behind the clip's last; default: the video's end.")
    flags.DEFINE_string("output_dir", None, "Where pictures go; default: MODEL_DIR/ground.")
    flags.DEFINE_boolean("pictures", True, "Write the overlay video and the strip of stills.")
    flags.DEFINE_string("i3d_weights", None, "Where the I3D weights lie now, if elsewhere.")


def main(argv):
    """Encodes the video, grounds each query, prints and draws the tubes."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    logging.set_verbosity(logging.INFO)
    run = run_folder.load(FLAGS.model_dir)
    for query in FLAGS.query:
        check_query(run.tokenizer, query)
    encoded = create_extractor(run.features, FLAGS.i3d_weights).extract(FLAGS.video).as_stored()
    timeline = encoded.timeline
    begin, end = clip_bounds(timeline, FLAGS.begin, FLAGS.end)
    found = ground(run, encoded, FLAGS.query, *timeline.to_samples(begin, end))
    for query, resampled in zip(FLAGS.query, found, strict=True):
        tube = in_file_frames(resampled, encoded.source, end, query)
        print(json.dumps(tube.to_json()))
        if FLAGS.pictures:
            draw(FLAGS.video, query, tube, timeline.frame_count)


def check_query(tokenizer: tokenization.Tokenizer, query: str) -> None:
    """Raises `ValueError` for a query without words; warns of unknown and of surplus words."""
    (words,) = standardization.split_words([query])
    check_words(query, words, tokenizer.unknown_words(query), tokenizer.max_words)


def create_extractor(trained: dict, source: str | None = None) -> extraction.FeatureExtractor:
    """The extractor whose features a model was trained on.

    Args:
        trained: the fingerprint saved with the run.
        source: where the I3D weights lie now, if elsewhere.

    Raises:
        ValueError: the weights, or the way features are made, differ from those of training.
    """
    extractor = extraction.FeatureExtractor.from_source(
        source or trained["i3d_source"],
        compute_dtype=trained["compute_dtype"],
        fps=trained.get("fps"),
        storage_dtype=trained.get("storage_dtype", "float16"),
    )
    if changed := extraction.differences(trained, extractor.fingerprint):
        raise ValueError(
            f"features would differ from those that the model was trained on, in {changed}: "
            f"trained on {trained}, now {extractor.fingerprint}"
        )
    return extractor


def ground(
    run: run_folder.Run, encoded: VideoFeatures, queries: list[str], begin: int, end: int
) -> list[tubes.Tube]:
    """The tube of each query in frames `[begin, end)` of an encoded video, resampled or not."""
    step_features, step_mask = input_pipeline.clip_inputs(
        encoded.features, begin, end, run.config.data.max_steps
    )
    inputs = {
        "features": step_features[None],
        "step_mask": step_mask[None],
        "tokens": run.tokenizer(tf.constant(queries))[None],
    }
    decoded = run.decode(inputs)
    num_steps = int(np.sum(step_mask))
    return [
        tubes.tube_from_steps(
            decoded["segment"][0, i].numpy(),
            decoded["boxes"][0, i, :num_steps].numpy(),
            begin=begin,
            end=end,
            width=encoded.width,
            height=encoded.height,
            score=float(decoded["score"][0, i]),
        )
        for i in range(len(queries))
    ]


def draw(video_path: str, query: str, tube: tubes.Tube, num_frames: int) -> None:
    """Writes the overlay video and the strip of stills."""
    folder = FLAGS.output_dir or os.path.join(FLAGS.model_dir, "ground")
    path = os.path.join(folder, output_name(video_path, query))
    overlays.draw_tubes(
        video_path,
        tube,
        num_frames=num_frames,
        overlay_path=f"{path}.mp4",
        strip_path=f"{path}.png",
        query=query,
    )
    logging.info("drawn: %s.mp4 and .png", path)


if __name__ == "__main__":
    define_flags()
    app.run(main)
