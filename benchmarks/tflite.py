r"""Prints size, time, memory and accuracy of a run's TensorFlow Lite files, of each quantisation.

Example:
    python -m benchmarks.tflite --model_dir=runs/demo --output_dir=runs/tflite

Grounding network alone, on stored features. Every kind is exported, asked each sentence of the
split by the runner's own code, and timed in a process of its own (`benchmarks.tflite_latency`).
The first row is the run's model in TensorFlow, computed in the precision that it was trained in.
"""

import json
import os
import subprocess
import sys

import tqdm
from absl import app, flags

from export import run_tflite, tflite
from gkcmn_tf import input_pipeline, metrics, prediction, records, runs, tubes
from gkcmn_tf.atomic_files import write_bytes

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_string("model_dir", None, "Folder of a run of gkcmn_tf.train.", required=True)
    flags.DEFINE_string("output_dir", None, "Where the files go.", required=True)
    flags.DEFINE_string("records_dir", None, "Records to evaluate on; default: the run's own.")
    flags.DEFINE_string("split", "test", "Split to evaluate.")
    flags.DEFINE_integer("examples", 200, "How many sentences int8 learns from.", lower_bound=1)
    flags.DEFINE_integer("threads", 2, "Threads to compute with.", lower_bound=1)


def main(argv):
    """Exports, evaluates and times each kind."""
    del argv
    run = runs.load(FLAGS.model_dir)
    data = run.config.data
    if FLAGS.records_dir:
        data.records_dir = FLAGS.records_dir
    runs.check_features(run)
    clips = list(records.read_clips(data.records_dir, FLAGS.split))
    truth = prediction.true_tubes(clips)

    def m_viou(predicted):
        return metrics.evaluate_predictions(truth, predicted, "all_frames")["overall"]["m_vIoU"]

    dataset = input_pipeline.from_config(
        data, FLAGS.split, run.tokenizer, global_batch_size=1, training=False
    )
    rows = [f"| TensorFlow | | | | {m_viou(prediction.predict(run.model, dataset, clips)):.4f} |"]
    for kind in tflite.QUANTIZATIONS:
        path = os.path.join(FLAGS.output_dir, f"grounding-{kind}.tflite")
        examples = list(tflite.sentence_examples(run, FLAGS.examples)) if kind == "int8" else ()
        write_bytes(path, tflite.grounding_file(run, kind, examples))
        found = predict(run_tflite.Grounder(path, FLAGS.threads), dataset, clips)
        cost = measure(path)
        rows.append(
            f"| `{kind}` | {os.path.getsize(path) / 1e6:.2f} | {cost['p50']:.1f} / "
            f"{cost['p95']:.1f} | {cost['peak']:.0f} | {m_viou(found):.4f} |"
        )
    print("| kind | size, MB | ms, p50 / p95 | peak memory, MiB | m_vIoU |")
    print("|---|---:|---:|---:|---:|")
    print("\n".join(rows))
    print(f"\nOf the memory, Python and its packages take {cost['before']:.0f} MiB.")


def predict(
    grounder: run_tflite.Grounder, dataset, clips: list[records.Clip]
) -> dict[str, tubes.Tube]:
    """The tube of each sentence of `clips`, which `dataset` holds one by one."""
    asked = {sentence.index: (clip, sentence) for clip in clips for sentence in clip.sentences}
    predictions = {}
    for inputs, labels in tqdm.tqdm(dataset, desc="grounding", unit="batch"):
        mask = inputs["step_mask"].numpy()[0]
        for query in labels["query_mask"].numpy()[0].nonzero()[0]:
            clip, sentence = asked[int(labels["index"][0, query])]
            tokens = inputs["tokens"].numpy()[0, query]
            found = grounder.decode(inputs["features"].numpy()[0], mask, tokens)
            predictions[sentence.id] = tubes.tube_from_steps(
                found["segment"],
                found["boxes"][mask],
                begin=clip.begin,
                end=clip.end,
                width=clip.width,
                height=clip.height,
                score=float(found["score"]),
            )
    return predictions


def measure(path: str) -> dict:
    """What `benchmarks.tflite_latency` prints for a file."""
    command = [sys.executable, "-m", "benchmarks.tflite_latency", f"--model={path}"]
    command.append(f"--threads={FLAGS.threads}")
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    define_flags()
    app.run(main)
