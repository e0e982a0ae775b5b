r"""Measures the accuracy of a SavedModel on frames that are not resized to 224x224 beforehand.

Example:
    python -m benchmarks.resizing --saved_model=runs/export/gkcmn/1 --model_dir=runs/demo \
        --video_dir=runs/demo/shapes/videos

Prints a Markdown table with the metrics of a split for frames resized by FFmpeg's swscale, as in
training, and for frames resized by TensorFlow inside the SavedModel; and the mean difference of the
features.
"""

import os
import pathlib

import numpy as np
import tensorflow as tf
import tqdm
from absl import app, flags

from gkcmn_tf import config as configs
from gkcmn_tf import program, tubes
from gkcmn_tf.evaluation import metrics, prediction
from gkcmn_tf.evaluation.metrics_table import format_table
from gkcmn_tf.records import clip_records
from gkcmn_tf.video import reading

FLAGS = flags.FLAGS
SIZES = {
    "224x224, resized by swscale": reading.FRAME_SIZE,
    "original size, resized in the graph": None,
}


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_string("saved_model", None, "SavedModel folder, FOLDER/VERSION.", required=True)
    flags.DEFINE_string("model_dir", None, "Run folder of the SavedModel.", required=True)
    flags.DEFINE_string("video_dir", None, "Folder with the videos of the split.", required=True)
    flags.DEFINE_string("split", "test", "Split to evaluate.")


def main(argv):
    """Evaluates the split with both kinds of frames and prints the metrics."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    signatures = tf.saved_model.load(FLAGS.saved_model).signatures
    data = configs.saved(FLAGS.model_dir).data
    clips = sorted(clip_records.read_clips(data.records_dir, FLAGS.split), key=lambda c: c.video_id)
    paths = {path.stem: path for path in pathlib.Path(FLAGS.video_dir).rglob("*.mp4")}
    predicted = {title: {} for title in SIZES}
    encoded, of_video, differences = {}, None, []
    for clip in tqdm.tqdm(clips, desc="clips"):
        if clip.video_id != of_video:
            of_video = clip.video_id
            encoded = {
                title: encode(signatures, os.fspath(paths[of_video]), size)
                for title, size in SIZES.items()
            }
            ours, theirs = (value.numpy() for value in encoded.values())
            differences.append(np.abs(theirs - ours).mean() / ours.std())
        for title, features in encoded.items():
            predicted[title] |= ask(signatures, features, clip)
    truth = prediction.true_tubes(clips)
    scores = {t: metrics.evaluate_predictions(truth, p)["overall"] for t, p in predicted.items()}
    print(f"{len(truth)} sentences, {len(differences)} videos\n")
    print(format_table(scores))
    print(f"\nFeatures differ by {np.mean(differences):.2f} of their standard deviation.")


def encode(signatures, path, size):
    """Encodes a video with frames of the given size; None for the original size."""
    frames = np.stack(list(reading.decode_frames(path, size)))
    shown = {"frames": tf.constant(frames[None]), "frame_count": tf.constant([len(frames)])}
    return signatures["encode_video"](**shown)["features"]


def ask(signatures, features, clip):
    """Returns the tubes of a clip's sentences by id."""
    inputs = {
        "features": features,
        "begin": tf.constant([clip.begin]),
        "end": tf.constant([clip.end]),
        "fps": tf.constant([clip.fps], tf.float32),
        "width": tf.constant([clip.width]),
        "height": tf.constant([clip.height]),
        "sentences": tf.constant([[sentence.text for sentence in clip.sentences]]),
    }
    found = {k: v.numpy()[0] for k, v in signatures["ground_features"](**inputs).items()}
    answers = {}
    for i, sentence in enumerate(clip.sentences):
        begin, end = map(int, found["segment_frames"][i])
        boxes = found["boxes"][i][begin - clip.begin : end - clip.begin].astype(float)
        answers[sentence.id] = tubes.Tube(begin, end, boxes, float(found["score"][i]))
    return answers


if __name__ == "__main__":
    program.run(main, define_flags)
