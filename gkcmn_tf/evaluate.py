"""Grounds every sentence of a split with a trained model, and scores the tubes.

Example:
    python -m gkcmn_tf.evaluate --model_dir=runs/demo --split=test

Writes metrics.json and predictions.json to --output_dir, and prints the table: m_tIoU, m_vIoU,
vIoU@0.3 and vIoU@0.5 over all, declarative and interrogative sentences. With
--temporal_ground_truth the true segment is given, as in the paper's Table 2. With --trivial_guess
no model is asked: every tube is the whole clip with the mean box of the training split.

Records made with data.prepare --fps are scored on the resampled frames; metrics.json says so in
"resampled_fps", which is null where every frame of the video counts.
"""

import os

from absl import app, flags, logging

from gkcmn_tf import input_pipeline, metrics, prediction, records, runs, tubes
from gkcmn_tf.atomic_files import write_json

FLAGS = flags.FLAGS
# Groups of sentences in a metrics file, and their row in the table.
ROWS = {"overall": "all"} | {qtype: qtype for qtype in records.QTYPES}


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_string("model_dir", None, "Folder of a run of gkcmn_tf.train.", required=True)
    flags.DEFINE_string("records_dir", None, "Records to evaluate on; default: the run's own.")
    flags.DEFINE_string("split", "test", "Split to evaluate.")
    flags.DEFINE_string("output_dir", None, "Where results go; default: --model_dir.")
    flags.DEFINE_boolean("temporal_ground_truth", False, "Give the true segment (Table 2).")
    flags.DEFINE_boolean("trivial_guess", False, "Score the trivial guess, not the model.")
    flags.DEFINE_enum("protocol", "all_frames", list(metrics.PROTOCOLS), "Frames that are scored.")
    flags.DEFINE_integer("batch_size", 16, "Clips a batch.", lower_bound=1)


def main(argv):
    """Predicts, scores, writes, prints."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    logging.set_verbosity(logging.INFO)
    run = runs.load(FLAGS.model_dir)
    if FLAGS.records_dir:
        run.config.data.records_dir = FLAGS.records_dir
    runs.check_features(run)
    clips = list(records.read_clips(run.config.data.records_dir, FLAGS.split))
    predicted = predict(run, clips)
    scores = metrics.evaluate_predictions(tubes.true_tubes(clips), predicted, FLAGS.protocol)
    scores["resampled_fps"] = run.features.get("fps")
    output_dir = FLAGS.output_dir or FLAGS.model_dir
    write_json(os.path.join(output_dir, "predictions.json"), tubes.predictions_to_json(predicted))
    write_json(os.path.join(output_dir, "metrics.json"), scores)
    print(f"Protocol {FLAGS.protocol}, {len(predicted)} sentences of split {FLAGS.split}:")
    print(metrics.format_table({title: scores[group] for group, title in ROWS.items()}))


def predict(run: runs.Run, clips: list[records.Clip]) -> dict[str, tubes.Tube]:
    """Tubes of all sentences of `clips`, made as the flags say."""
    if FLAGS.trivial_guess:
        train_clips = records.read_clips(run.config.data.records_dir, run.config.data.train_split)
        return prediction.trivial_guess(
            train_clips, clips, temporal_ground_truth=FLAGS.temporal_ground_truth
        )
    dataset = input_pipeline.from_config(
        run.config.data,
        FLAGS.split,
        run.tokenizer,
        global_batch_size=FLAGS.batch_size,
        training=False,
    )
    return prediction.predict(
        run.model, dataset, clips, temporal_ground_truth=FLAGS.temporal_ground_truth
    )


if __name__ == "__main__":
    define_flags()
    app.run(main)
