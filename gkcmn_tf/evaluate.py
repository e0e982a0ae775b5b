r"""Computes metrics of a trained model on a split, or of predictions in a file.

Examples:
    python -m gkcmn_tf.evaluate --model_dir=runs/demo --split=test
    python -m gkcmn_tf.evaluate --ground_truth=gt.json --predictions=pred.json \
        --protocol=all_frames --output=metrics.json
    python -m gkcmn_tf.evaluate --ground_truth=gt.json --trivial_guess

The first command grounds every sentence of the split and writes predictions.json, gt.json and
metrics.json to --output_dir. With --temporal_ground_truth, the true segments are used (Table 2 of
the paper). With --trivial_guess, each prediction is the whole clip with the mean box of the
training split instead of the output of the model; with --best_segment too, the part of the clip
that is best for the training split.

The second command scores files in the format of `gkcmn_tf.evaluation.tube_files`. It requires
neither a model nor TensorFlow.

The third command scores the trivial guess, with the mean box of --train_ground_truth, or of
--ground_truth by default. (The annotation files of VidSTG have no boxes; use `data.trivial_guess`.)

The output is a table of m_tIoU, m_vIoU, vIoU@0.3, vIoU@0.5 and m_sIoU for all, declarative and
interrogative sentences, with 95 % confidence intervals. `gkcmn_tf.evaluation.metrics` defines the
metrics. The metrics file also contains the scores of each sentence.

If the split has minimal pairs or absent sentences, as the long setting of the shapes data set has,
their metrics follow (`gkcmn_tf.evaluation.minimal_pairs` and `absence`). Absent sentences are not
evaluated with --temporal_ground_truth.

Records with resampled videos (data.prepare --fps) are scored on the resampled frames. metrics.json
then has the frame rate in "resampled_fps"; otherwise it is null. "unknown_word_share" is the share
of the split's words that the model was not trained on; it is printed, too.
"""

import itertools
import os
from collections.abc import Mapping, Sequence
from typing import Any

from absl import app, flags, logging

from gkcmn_tf import program, tubes
from gkcmn_tf.evaluation import bootstrap, metrics, minimal_pairs, trivial_guess, tube_files
from gkcmn_tf.evaluation.metrics_table import format_table
from gkcmn_tf.evaluation.protocols import PROTOCOLS
from gkcmn_tf.files import write_json

FLAGS = flags.FLAGS
# Row titles of the groups of sentences in a metrics file.
ROWS = {"overall": "all"} | {qtype: qtype for qtype in tubes.QTYPES}
FILE_FLAGS = ("ground_truth", "train_ground_truth", "predictions", "output")
MODEL_FLAGS = (
    "model_dir",
    "records_dir",
    "split",
    "output_dir",
    "temporal_ground_truth",
    "trivial_guess",
    "best_segment",
    "batch_size",
)


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_string("model_dir", None, "Folder of a training run of gkcmn_tf.train.")
    flags.DEFINE_string("records_dir", None, "Records folder; default: that of the run.")
    flags.DEFINE_string("split", "test", "Split to evaluate.")
    flags.DEFINE_string("output_dir", None, "Output folder; default: --model_dir.")
    flags.DEFINE_boolean("temporal_ground_truth", False, "Use the true segments (Table 2).")
    flags.DEFINE_boolean("trivial_guess", False, "Score the trivial guess instead of a model.")
    flags.DEFINE_boolean(
        "best_segment",
        False,
        "With --trivial_guess: instead of the whole clip, the part with the best m_tIoU for the "
        "ground truth that the mean box is computed from.",
    )
    flags.DEFINE_integer("batch_size", 16, "Number of clips per batch.", lower_bound=1)
    flags.DEFINE_string("ground_truth", None, "Ground truth file.")
    flags.DEFINE_string("predictions", None, "Predictions file to score against --ground_truth.")
    flags.DEFINE_string(
        "train_ground_truth", None, "Ground truth file for the mean box of --trivial_guess."
    )
    flags.DEFINE_string(
        "output", None, "Path of the metrics file to write; default: print the table only."
    )
    flags.DEFINE_enum("protocol", "all_frames", list(PROTOCOLS), "Evaluation protocol.")
    flags.DEFINE_integer(
        "bootstrap_samples",
        bootstrap.DEFAULT_SAMPLES,
        "Number of bootstrap samples for the confidence intervals; 0 turns them off.",
        lower_bound=0,
    )
    flags.DEFINE_string(
        "hcstvg_submission", None, "Path of a submission to the HC-STVG challenge to write as well."
    )


def main(argv):
    """Computes or reads the predictions, scores them, and writes and prints the results."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    check_flags()
    logging.set_verbosity(logging.INFO)
    if FLAGS.model_dir:
        ground_truth, predictions, about = ground_split()
        output_dir = FLAGS.output_dir or FLAGS.model_dir
        tube_files.write_tubes(output_dir, ground_truth, predictions)
        output = os.path.join(output_dir, "metrics.json")
    else:
        ground_truth = tube_files.load_ground_truth(FLAGS.ground_truth)
        output = FLAGS.output
        if FLAGS.trivial_guess:
            predictions, about = guess_from_files(ground_truth)
        else:
            predictions, about = tube_files.load_predictions(FLAGS.predictions), {}
    scores = metrics.evaluate_predictions(
        ground_truth,
        predictions,
        FLAGS.protocol,
        bootstrap_samples=FLAGS.bootstrap_samples,
    )
    if output:
        write_json(output, about | scores)
    print(format_scores(scores))
    if "unknown_word_share" in about:
        share = about["unknown_word_share"]
        print(f"{share:.1%} of the words of split {FLAGS.split} are unknown to the model")
    if FLAGS.hcstvg_submission:
        write_submission(FLAGS.hcstvg_submission, ground_truth, predictions, about)


def check_flags() -> None:
    """Raises `UsageError` for missing or incompatible flags."""
    given = {name for name in (*FILE_FLAGS, *MODEL_FLAGS) if FLAGS[name].present}
    if FLAGS.model_dir:
        source, incompatible = "--model_dir", given.intersection(FILE_FLAGS)
    elif FLAGS.ground_truth and FLAGS.predictions:
        source = "--ground_truth and --predictions"
        incompatible = given.intersection((*MODEL_FLAGS, "train_ground_truth"))
    elif FLAGS.ground_truth and FLAGS.trivial_guess:
        source = "--ground_truth and --trivial_guess"
        incompatible = given.intersection(MODEL_FLAGS) - {
            "trivial_guess",
            "best_segment",
            "temporal_ground_truth",
        }
    else:
        raise app.UsageError(
            "expected --model_dir, or --ground_truth with --predictions or --trivial_guess"
        )
    if FLAGS.best_segment and not FLAGS.trivial_guess:
        raise app.UsageError("--best_segment: only with --trivial_guess")
    if incompatible:
        names = ", ".join(f"--{name}" for name in sorted(incompatible))
        raise app.UsageError(f"{names}: not with {source}")


def ground_split() -> tuple[list[tubes.GroundTruth], dict[str, tubes.Tube], dict[str, Any]]:
    """Returns true tubes, predictions and metadata for a split, according to the flags."""
    # Imported here since scoring files does not require TensorFlow.
    from gkcmn_tf.evaluation import prediction  # noqa: PLC0415
    from gkcmn_tf.records import clip_records, input_pipeline  # noqa: PLC0415
    from gkcmn_tf.training import run_folder  # noqa: PLC0415

    run = run_folder.load(FLAGS.model_dir)
    data = run.config.data
    if FLAGS.records_dir:
        data.records_dir = FLAGS.records_dir
    run_folder.check_features(run)
    given = FLAGS.temporal_ground_truth
    splits = [FLAGS.split]
    absent_split = clip_records.absent_split(data.records_dir, FLAGS.split)
    if absent_split and not given:
        splits.append(absent_split)
    clips = {split: list(clip_records.read_clips(data.records_dir, split)) for split in splits}
    pairs = clip_records.read_pairs(data.records_dir, FLAGS.split)
    truth = prediction.true_tubes(itertools.chain(*clips.values()), pairs)
    guess = {}
    if FLAGS.trivial_guess:
        train_clips = clip_records.read_clips(data.records_dir, data.train_split)
        predicted, guess = guess_from(truth, prediction.true_tubes(train_clips))
    else:
        predicted = {}
        for split, found in clips.items():
            dataset = input_pipeline.from_config(
                data, split, run.tokenizer, global_batch_size=FLAGS.batch_size, training=False
            )
            with input_pipeline.damage_named(data.records_dir):
                predicted |= prediction.predict(
                    run.model, dataset, found, temporal_ground_truth=given
                )
    about = {
        "split": FLAGS.split,
        "temporal_ground_truth": given,
        **guess,
        "resampled_fps": run.features.get("fps"),
        "unknown_word_share": run.tokenizer.unknown_share(
            sentence.text for clip in clips[FLAGS.split] for sentence in clip.sentences
        ),
    }
    return truth, predicted, about


def guess_from_files(
    ground_truth: Sequence[tubes.GroundTruth],
) -> tuple[dict[str, tubes.Tube], dict[str, Any]]:
    """Returns the trivial guess and metadata, according to the flags."""
    box_file = FLAGS.train_ground_truth or FLAGS.ground_truth
    train = ground_truth
    if FLAGS.train_ground_truth:
        train = tube_files.load_ground_truth(FLAGS.train_ground_truth)
    predictions, guess = guess_from(ground_truth, train)
    where = "whole clip"
    if FLAGS.temporal_ground_truth:
        where = "true segment"
    elif FLAGS.best_segment:
        where = "part {:.3f} to {:.3f} of the clip".format(*guess["segment"])
    note = "" if FLAGS.train_ground_truth else ", the scored file itself"
    print(f"Trivial guess: the {where} with the mean box of {box_file}{note}")
    about = {"temporal_ground_truth": FLAGS.temporal_ground_truth, "mean_box_of": box_file}
    return predictions, about | guess


def guess_from(
    ground_truth: Sequence[tubes.GroundTruth], train: Sequence[tubes.GroundTruth]
) -> tuple[dict[str, tubes.Tube], dict[str, Any]]:
    """Returns the trivial guess, and its mean box and segment computed from `train`."""
    box = trivial_guess.mean_box(train)
    segment = trivial_guess.best_segment(train) if FLAGS.best_segment else (0.0, 1.0)
    predictions = trivial_guess.guess_tubes(
        ground_truth, box, segment=segment, temporal_ground_truth=FLAGS.temporal_ground_truth
    )
    return predictions, {"mean_box": box.tolist(), "segment": list(segment)}


def write_submission(
    path: str,
    ground_truth: list[tubes.GroundTruth],
    predictions: Mapping[str, tube_files.AnyTube | None],
    about: Mapping[str, Any],
) -> None:
    """Writes a submission to HC-STVG.

    Raises:
        ValueError: the videos were resampled, or a video has several sentences.
    """
    if about.get("resampled_fps"):
        raise ValueError(
            "--hcstvg_submission: HC-STVG requires frames of the video, but these records were "
            f"resampled to {about['resampled_fps']} fps; run data.prepare without --fps"
        )
    write_json(path, tube_files.hcstvg_submission(ground_truth, predictions), indent=None)


def format_scores(scores: Mapping[str, Any]) -> str:
    """Formats the metrics as a table with a header line."""
    intervals = scores.get("confidence_intervals")
    noted = ""
    if intervals:
        noted = (
            f"; in brackets {intervals['level']:.0%} intervals "
            f"of {intervals['samples']} bootstrap samples of videos"
        )
    table = format_table(
        {title: scores[group] for group, title in ROWS.items()},
        columns=metrics.METRICS,
        intervals=intervals and {title: intervals[group] for group, title in ROWS.items()},
    )
    counted = f"{scores['sentences']} sentences about {scores['videos']} videos"
    parts = [f"Protocol {scores['protocol']}, {counted}{noted}:\n{table}"]
    if pairs := scores.get("pairs"):
        parts.append(format_pairs(pairs))
    if absent := scores.get("absent"):
        parts.append(
            f"Absent sentences: {absent['sentences']}, AUROC {absent['AUROC']:.4f}, "
            f"{absent['false_alarms']:.2%} false alarms and {absent['misses']:.2%} misses at a "
            f"score of {absent['threshold']}"
        )
    return "\n".join(parts)


def format_pairs(pairs: Mapping[str, Any]) -> str:
    """Formats the metrics of minimal pairs as a table with a header line."""
    titles = {kind: f"{kind} (n={row['pairs']})" for kind, row in pairs.items()}
    table = format_table(
        {titles[kind]: row for kind, row in pairs.items()},
        columns=minimal_pairs.PAIR_METRICS,
        intervals={titles[kind]: row.get("confidence_intervals") for kind, row in pairs.items()},
    )
    return f"Minimal pairs of which both sentences exceed the threshold:\n{table}"


if __name__ == "__main__":
    program.run(main, define_flags)
