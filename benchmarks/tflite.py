r"""Prints size, time, memory and accuracy of a run's TensorFlow Lite files, of each quantisation.

Example:
    python -m benchmarks.tflite --model_dir=runs/demo --output_dir=runs/tflite \
        --video_dir=runs/demo/shapes/videos

Grounding network: asked each sentence of the split by the runner's own code, on stored features.
I3D: its features of every video of the split, from files in --video_dir, grounded by the `none`
file of the grounding network. Each file is timed in a process of its own
(`benchmarks.tflite_latency`). The first row is the run's model in TensorFlow, computed in the
precision that it was trained in.
"""

import itertools
import json
import os
import pathlib
import subprocess
import sys

import tqdm
from absl import flags

from export import networks, run_tflite, tflite
from gkcmn_tf import program, tubes
from gkcmn_tf.evaluation import metrics, prediction
from gkcmn_tf.files import write_bytes
from gkcmn_tf.records import clip_records, input_pipeline
from gkcmn_tf.training import run_folder

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_string("model_dir", None, "Folder of a run of gkcmn_tf.train.", required=True)
    flags.DEFINE_string("output_dir", None, "Where the files go.", required=True)
    flags.DEFINE_string("records_dir", None, "Records to evaluate on; default: the run's own.")
    flags.DEFINE_string("video_dir", None, "Videos of the split; without, I3D is left out.")
    flags.DEFINE_integer("calibration_videos", 8, "How many videos int8 of I3D learns from.")
    flags.DEFINE_string("split", "test", "Split to evaluate.")
    flags.DEFINE_integer("examples", 200, "How many sentences int8 learns from.", lower_bound=1)
    flags.DEFINE_integer("threads", 2, "Threads to compute with.", lower_bound=1)


def main(argv):
    """Exports, evaluates and times each kind."""
    del argv
    run = run_folder.load(FLAGS.model_dir)
    data = run.config.data
    if FLAGS.records_dir:
        data.records_dir = FLAGS.records_dir
    run_folder.check_features(run)
    clips = list(clip_records.read_clips(data.records_dir, FLAGS.split))
    truth = prediction.true_tubes(clips)
    dataset = input_pipeline.from_config(
        data, FLAGS.split, run.tokenizer, global_batch_size=1, training=False
    )

    def score(predicted):
        return metrics.evaluate_predictions(truth, predicted, "all_frames")["overall"]["m_vIoU"]

    print("| network | kind | size, MB | ms, p50 / p95 | peak memory, MiB | m_vIoU |")
    print("|---|---|---:|---:|---:|---:|")
    print(
        f"| both | TensorFlow | | | | {score(prediction.predict(run.model, dataset, clips)):.4f} |"
    )
    files = grounding_files(run, dataset, clips)
    if FLAGS.video_dir:
        files = itertools.chain(files, i3d_files(run, clips))
    for network, kind, path, predicted in files:
        cost = measure(path)
        print(
            f"| {network} | `{kind}` | {os.path.getsize(path) / 1e6:.2f} | {cost['p50']:.1f} / "
            f"{cost['p95']:.1f} | {cost['peak']:.0f} | {score(predicted):.4f} |",
            flush=True,
        )
    print(f"\nOf the memory, Python and its packages take {cost['before']:.0f} MiB.")


def grounding_files(run, dataset, clips):
    """Yields network, kind, file and predictions of the grounding network in each kind."""
    for kind in tflite.QUANTIZATIONS:
        path = os.path.join(FLAGS.output_dir, f"grounding-{kind}.tflite")
        examples = list(tflite.sentence_examples(run, FLAGS.examples)) if kind == "int8" else ()
        write_bytes(path, tflite.grounding_file(run, kind, examples))
        grounder = run_tflite.Grounder(path, FLAGS.threads)
        yield "grounding", kind, path, predict(grounder, dataset, clips)


def i3d_files(run, clips):
    """Yields the same of I3D, on which the first file of the grounding network works."""
    videos = find_videos(FLAGS.video_dir)
    data = run.config.data
    trained_on = {
        clip.video_id for clip in clip_records.read_clips(data.records_dir, data.train_split)
    }
    seen = [videos[video] for video in sorted(trained_on)[: FLAGS.calibration_videos]]
    path = os.path.join(FLAGS.output_dir, f"grounding-{tflite.QUANTIZATIONS[0]}.tflite")
    grounder = run_tflite.Grounder(path, FLAGS.threads)
    for kind in tflite.QUANTIZATIONS:
        path = os.path.join(FLAGS.output_dir, f"i3d-{kind}.tflite")
        examples = tflite.window_examples(seen, run.features.get("fps"))
        write_bytes(path, tflite.i3d_file(networks.i3d(run.features), kind, examples))
        encoder = run_tflite.Encoder(path, grounder.features, FLAGS.threads)
        yield "I3D", kind, path, predict_videos(encoder, grounder, clips, videos)


def find_videos(folder: str) -> dict[str, str]:
    """Paths of the videos anywhere under a folder, by file name without its ending."""
    return {path.stem: str(path) for path in pathlib.Path(folder).rglob("*.mp4")}


def predict_videos(
    encoder: run_tflite.Encoder,
    grounder: run_tflite.Grounder,
    clips: list[clip_records.Clip],
    videos: dict[str, str],
) -> dict[str, tubes.Tube]:
    """The tube of each sentence of `clips`, from the videos themselves."""
    predictions = {}
    clips = sorted(clips, key=lambda clip: clip.video_id)
    for video, group in itertools.groupby(
        tqdm.tqdm(clips, desc="from videos", unit="clip"), key=lambda clip: clip.video_id
    ):
        encoded = encoder.encode(videos[video])
        for clip in group:
            for sentence in clip.sentences:
                predictions[sentence.id] = grounder.ground(
                    encoded, sentence.text, clip.begin, clip.end
                )
    return predictions


def predict(
    grounder: run_tflite.Grounder, dataset, clips: list[clip_records.Clip]
) -> dict[str, tubes.Tube]:
    """The tube of each sentence of `clips`, which `dataset` holds one by one."""
    asked = [(clip, sentence) for clip in clips for sentence in clip.sentences]
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
    program.run(main, define_flags)
