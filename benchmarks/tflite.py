r"""Measures size, latency, memory and accuracy of TensorFlow Lite files for each quantisation.

Example:
    python -m benchmarks.tflite --model_dir=runs/demo --output_dir=runs/tflite \
        --video_dir=runs/demo/shapes/videos

The grounding network is evaluated on the stored features of the split, with the code of
`export.run_tflite`. I3D is evaluated with features extracted from the videos in --video_dir, which
are grounded by the `none` file of the grounding network. Latency is measured in a separate process
for each file (`benchmarks.tflite_latency`). The first row is the model in TensorFlow, in its
training precision.
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
from gkcmn_tf.video.windows import count_windows

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_string("model_dir", None, "Run folder of gkcmn_tf.train.", required=True)
    flags.DEFINE_string("output_dir", None, "Output folder of the files.", required=True)
    flags.DEFINE_string(
        "records_dir", None, "Records folder for evaluation; default: the run's records."
    )
    flags.DEFINE_string(
        "video_dir", None, "Folder with the videos of the split; default: I3D is not evaluated."
    )
    flags.DEFINE_integer("calibration_videos", 8, "Number of videos for int8 calibration of I3D.")
    flags.DEFINE_string("split", "test", "Split to evaluate.")
    flags.DEFINE_integer(
        "examples", 200, "Number of sentences for int8 calibration.", lower_bound=1
    )
    flags.DEFINE_integer("threads", 2, "Number of CPU threads.", lower_bound=1)


def main(argv):
    """Exports, evaluates and times each quantisation."""
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
    print(f"\nMemory of Python and its packages, included above: {cost['before']:.0f} MiB.")


def grounding_files(run, dataset, clips):
    """Yields network, quantisation, file and predictions of the grounding network."""
    trained = run.as_trained_model()
    for kind in tflite.QUANTIZATIONS:
        path = os.path.join(FLAGS.output_dir, f"grounding-{kind}.tflite")
        network = networks.grounding(trained)
        examples = ()
        if kind == "int8":
            records_dir = run.config.data.records_dir
            examples = tflite.sentence_examples(trained, records_dir, FLAGS.examples)
        write_bytes(path, tflite.network_file(network, kind, examples))
        grounder = run_tflite.Grounder(path, FLAGS.threads)
        yield "grounding", kind, path, predict(grounder, dataset, clips)


def i3d_files(run, clips):
    """Yields the same for I3D, with predictions of the first file of the grounding network."""
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
        write_bytes(path, tflite.network_file(networks.i3d(run.features), kind, examples))
        encoder = run_tflite.Encoder(path, grounder.features, FLAGS.threads)
        yield "I3D", kind, path, predict_videos(encoder, grounder, clips, videos)


def find_videos(folder: str) -> dict[str, str]:
    """Returns the paths of all videos below a folder, by file name without suffix."""
    return {path.stem: str(path) for path in pathlib.Path(folder).rglob("*.mp4")}


def predict_videos(
    encoder: run_tflite.Encoder,
    grounder: run_tflite.Grounder,
    clips: list[clip_records.Clip],
    videos: dict[str, str],
) -> dict[str, tubes.Tube]:
    """Returns the tube of each sentence of `clips`, with features extracted from the videos."""
    predictions = {}
    clips = sorted(clips, key=lambda clip: clip.video_id)
    for video, group in itertools.groupby(
        tqdm.tqdm(clips, desc="from videos", unit="clip"), key=lambda clip: clip.video_id
    ):
        encoded = encoder.encode(
            videos[video], lambda timeline: range(count_windows(timeline.sample_count))
        )
        for clip in group:
            for sentence in clip.sentences:
                predictions[sentence.id] = grounder.ground(
                    encoded, sentence.text, clip.begin, clip.end
                )
    return predictions


def predict(
    grounder: run_tflite.Grounder, dataset, clips: list[clip_records.Clip]
) -> dict[str, tubes.Tube]:
    """Returns the tube of each sentence of `clips`; `dataset` has one sentence per batch."""
    sentences = [(clip, sentence) for clip in clips for sentence in clip.sentences]
    predictions = {}
    for inputs, labels in tqdm.tqdm(dataset, desc="grounding", unit="batch"):
        mask = inputs["step_mask"].numpy()[0]
        for query in labels["query_mask"].numpy()[0].nonzero()[0]:
            clip, sentence = sentences[int(labels["index"][0, query])]
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
    """Runs `benchmarks.tflite_latency` on a file and returns its measurements."""
    command = [sys.executable, "-m", "benchmarks.tflite_latency", f"--model={path}"]
    command.append(f"--threads={FLAGS.threads}")
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    program.run(main, define_flags)
