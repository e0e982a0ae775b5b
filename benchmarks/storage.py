r"""Measures the accuracy of a trained model on features stored with reduced precision.

Example:
    python -m benchmarks.storage --model_dir=runs/demo

The features of the split, which must be stored in float16, are rounded to each storage type, and
the model is evaluated on the rounded features without retraining.
"""

import dataclasses
import os
import shutil
import tempfile

import numpy as np
from absl import flags

from gkcmn_tf import program
from gkcmn_tf.evaluation import metrics, prediction
from gkcmn_tf.evaluation.metrics_table import format_table
from gkcmn_tf.features import feature_records, quantization
from gkcmn_tf.records import clip_records, input_pipeline
from gkcmn_tf.training import run_folder

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_string("model_dir", None, "Run folder of gkcmn_tf.train.", required=True)
    flags.DEFINE_string("split", "test", "Split to evaluate.")


def main(argv):
    """Evaluates the model once for each storage type."""
    del argv
    run = run_folder.load(FLAGS.model_dir)
    source = run.config.data.records_dir
    clips = list(clip_records.read_clips(source, FLAGS.split))
    rows = {}
    for dtype in quantization.STORAGE_DTYPES:
        with tempfile.TemporaryDirectory() as folder:
            shutil.copytree(os.path.join(source, "clips"), os.path.join(folder, "clips"))
            error = round_features(source, folder, {clip.video_id for clip in clips}, dtype)
            run.config.data.records_dir = folder
            dataset = input_pipeline.from_config(
                run.config.data, FLAGS.split, run.tokenizer, global_batch_size=16, training=False
            )
            predicted = prediction.predict(run.model, dataset, clips)
        scores = metrics.evaluate_predictions(prediction.true_tubes(clips), predicted, "all_frames")
        rows[f"{dtype}, relative error {error:.1e}"] = scores["overall"]
    print(format_table(rows))


def round_features(source: str, folder: str, video_ids: set[str], dtype: str) -> float:
    """Copies features rounded to `dtype`; returns the mean error relative to the mean feature."""
    errors, sizes = [], []
    for video_id in sorted(video_ids):
        features = feature_records.read_video_features(source, video_id)
        rounded = dataclasses.replace(features, storage_dtype=dtype)
        feature_records.write_video_features(folder, rounded)
        exact = features.features.astype(np.float32)
        errors.append(np.abs(rounded.as_stored().features - exact).mean())
        sizes.append(np.abs(exact).mean())
    return float(np.mean(errors) / np.mean(sizes))


if __name__ == "__main__":
    program.run(main, define_flags)
