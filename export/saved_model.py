r"""Exports a trained model as a SavedModel: text and features or frames in, tubes out.

Example:
    python -m export.saved_model --preset=gkcmn_shapes --output_dir=runs/export/gkcmn/1
    python -m export.saved_model --preset=runs/demo --output_dir=runs/export/gkcmn/2 \
        --warmup_video=park.mp4 --warmup_query="the red square moving left"

The graph contains the tokeniser, I3D with folded batch normalisation, the grounding network and
decoding; `export.signatures` describes its signatures. It can be loaded without Keras or this
project. The last part of --output_dir is the version number required by TensorFlow Serving; an
existing version is never overwritten. `assets.extra/run.json` describes the model.
"""

import json
import os
import shutil
from collections.abc import Sequence

import tensorflow as tf
from absl import app, flags

from gkcmn_tf import preset, program, queries
from gkcmn_tf.extras import import_package
from gkcmn_tf.features import extraction
from gkcmn_tf.files import temporary_path, write_json
from gkcmn_tf.trained_model import TrainedModel
from gkcmn_tf.versions import versions

from . import grounding_graph

FLAGS = flags.FLAGS
EXTRA = "assets.extra"


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_string(
        "preset",
        "gkcmn_shapes",
        "Trained model: name or folder of a preset, hf://owner/name, or folder of a run of "
        "gkcmn_tf.train.",
    )
    flags.DEFINE_string("output_dir", None, "Output folder, FOLDER/VERSION.", required=True)
    flags.DEFINE_enum(
        "weights",
        "float32",
        grounding_graph.WEIGHTS_DTYPES,
        "Storage type of the weights; bfloat16 halves the size.",
    )
    flags.DEFINE_integer("top_k", 5, "Number of tubes per sentence.", lower_bound=1)
    flags.DEFINE_integer(
        "max_frames", 20_000, "Maximum length of a video, in frames.", lower_bound=1
    )
    flags.DEFINE_integer(
        "max_clips", 32, "Maximum number of clips or videos of a request.", lower_bound=1
    )
    flags.DEFINE_integer(
        "max_sentences",
        1_000,
        "Maximum number of sentences of a request, over all its clips.",
        lower_bound=1,
    )
    flags.DEFINE_string(
        "i3d_weights", None, "Location of the I3D weights; default: the location used in training."
    )
    flags.DEFINE_string("warmup_video", None, "Video file for warm-up requests; default: none.")
    flags.DEFINE_multi_string("warmup_query", [], "Sentence about --warmup_video; repeatable.")


def main(argv):
    """Loads the model, writes the SavedModel and prints its path and size."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    if bool(FLAGS.warmup_video) != bool(FLAGS.warmup_query):
        raise app.UsageError("--warmup_video and --warmup_query must be given together")
    trained = preset.load(FLAGS.preset)
    for query in FLAGS.warmup_query:
        queries.check_sentence(query, trained.tokenizer)
    export(
        trained,
        FLAGS.output_dir,
        i3d_source=FLAGS.i3d_weights,
        warmup_video=FLAGS.warmup_video,
        warmup_queries=FLAGS.warmup_query,
        weights=FLAGS.weights,
        top_k=FLAGS.top_k,
        max_frames=FLAGS.max_frames,
        max_clips=FLAGS.max_clips,
        max_sentences=FLAGS.max_sentences,
    )
    print(json.dumps({"saved_model": FLAGS.output_dir, "bytes": folder_size(FLAGS.output_dir)}))


def export(
    trained: TrainedModel,
    output_dir: str,
    *,
    i3d_source: str | None = None,
    warmup_video: str | None = None,
    warmup_queries: Sequence[str] = (),
    **graph_arguments,
) -> None:
    """Writes the SavedModel of a trained model atomically.

    Args:
        trained: the trained model.
        output_dir: output folder, FOLDER/VERSION.
        i3d_source: location of the I3D weights; None for the location used in training.
        warmup_video: video file for warm-up requests; None for no warm-up requests.
        warmup_queries: sentences about `warmup_video`.
        **graph_arguments: arguments of `grounding_graph.GroundingGraph`.

    Raises:
        ValueError: the version is not a whole number, or the I3D weights differ from training.
        FileExistsError: the output folder exists.
        MissingPackageError: the extra `serving` is not installed, and there is a `warmup_video`.
    """
    output_dir = os.path.normpath(output_dir)
    version = os.path.basename(output_dir)
    if not (version.isascii() and version.isdigit()):
        raise ValueError(
            f"--output_dir={output_dir}: the last part must be a version, a whole number such as 1"
        )
    if os.path.exists(output_dir):
        raise FileExistsError(f"--output_dir={output_dir}: already exists; use another version")
    if warmup_video:
        import_package("tensorflow_serving", "writing warm-up requests")
        from . import warmup  # noqa: PLC0415 - needs this package
    i3d = extraction.FeatureExtractor.from_fingerprint(trained.features, i3d_source).i3d
    graph = grounding_graph.GroundingGraph(trained, i3d, **graph_arguments)
    signatures = graph.signatures()
    config, _ = preset.describe(trained)
    temporary = temporary_path(output_dir)
    try:
        tf.saved_model.save(graph.kept, temporary, signatures=signatures)
        described = {
            "config": config,
            "features": trained.features,
            "export": graph_arguments,
            "versions": versions(),
        }
        write_json(os.path.join(temporary, EXTRA, "run.json"), described)
        if warmup_video:
            requests = warmup.create_requests(
                signatures, warmup_video, warmup_queries, trained.features.get("fps")
            )
            warmup.write(os.path.join(temporary, EXTRA, warmup.FILE), requests)
        os.rename(temporary, output_dir)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def folder_size(folder: str) -> int:
    """Returns the total size of all files in a folder, in bytes."""
    return sum(
        os.path.getsize(os.path.join(root, name))
        for root, _, names in os.walk(folder)
        for name in names
    )


if __name__ == "__main__":
    program.run(main, define_flags)
