r"""Writes a trained run as a SavedModel: text and features or frames in, tubes out.

Example:
    python -m export.saved_model --model_dir=runs/demo --output_dir=runs/export/gkcmn/1 \
        --warmup_video=park.mp4 --warmup_query="the red square moving left"

Tokeniser, I3D with batch normalisation folded, grounding network and decoding are all in the graph;
`export.signatures` describes the signatures. TensorFlow alone loads it. The last part of
--output_dir is the version, a whole number, as TensorFlow Serving wants it; a version that is there
is never overwritten. `assets.extra/run.json` tells which run it is.
"""

import json
import os
import shutil
from collections.abc import Sequence

import tensorflow as tf
from absl import app, flags

from gkcmn_tf import config as configs
from gkcmn_tf import program, queries
from gkcmn_tf.features import extraction
from gkcmn_tf.files import write_json
from gkcmn_tf.training import run_folder

from . import grounding_graph, warmup

FLAGS = flags.FLAGS
EXTRA = "assets.extra"


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_string("model_dir", None, "Folder of a run of gkcmn_tf.train.", required=True)
    flags.DEFINE_string("output_dir", None, "FOLDER/VERSION to write.", required=True)
    flags.DEFINE_enum(
        "weights",
        "float32",
        grounding_graph.WEIGHTS_DTYPES,
        "What weights are stored in; bfloat16 halves the size.",
    )
    flags.DEFINE_integer("top_k", 5, "Tubes to give for each sentence.", lower_bound=1)
    flags.DEFINE_integer("max_frames", 20_000, "Longest video to take.", lower_bound=1)
    flags.DEFINE_string("i3d_weights", None, "Where the I3D weights lie now, if elsewhere.")
    flags.DEFINE_string("warmup_video", None, "Video to make warm-up requests of.")
    flags.DEFINE_multi_string("warmup_query", [], "Sentence about it.")


def main(argv):
    """Loads the run, writes the SavedModel, says where it is."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    if bool(FLAGS.warmup_video) != bool(FLAGS.warmup_query):
        raise app.UsageError("--warmup_video and --warmup_query: give both, or neither")
    run = run_folder.load(FLAGS.model_dir)
    for query in FLAGS.warmup_query:
        queries.check_sentence(query, run.tokenizer)
    export(
        run,
        FLAGS.output_dir,
        i3d_source=FLAGS.i3d_weights,
        warmup_video=FLAGS.warmup_video,
        warmup_queries=FLAGS.warmup_query,
        weights=FLAGS.weights,
        top_k=FLAGS.top_k,
        max_frames=FLAGS.max_frames,
    )
    print(json.dumps({"saved_model": FLAGS.output_dir, "bytes": folder_size(FLAGS.output_dir)}))


def export(
    run: run_folder.Run,
    output_dir: str,
    *,
    i3d_source: str | None = None,
    warmup_video: str | None = None,
    warmup_queries: Sequence[str] = (),
    **graph_arguments,
) -> None:
    """Writes the SavedModel of a run, whole or not at all.

    Args:
        run: the trained model.
        output_dir: FOLDER/VERSION.
        i3d_source: where the I3D weights lie now, if elsewhere than at training.
        warmup_video: video to make warm-up requests of; None writes none.
        warmup_queries: sentences about it.
        **graph_arguments: of `grounding_graph.GroundingGraph`.

    Raises:
        ValueError: the version is no whole number, or the I3D weights are not those of training.
        FileExistsError: it is there.
    """
    output_dir = os.path.normpath(output_dir)
    version = os.path.basename(output_dir)
    if not (version.isascii() and version.isdigit()):
        raise ValueError(
            f"--output_dir={output_dir}: the last part is the version, a whole number such as 1"
        )
    if os.path.exists(output_dir):
        raise FileExistsError(f"--output_dir={output_dir}: is there; take the next number")
    i3d = extraction.FeatureExtractor.from_fingerprint(run.features, i3d_source).i3d
    graph = grounding_graph.GroundingGraph(run, i3d, **graph_arguments)
    signatures = graph.signatures()
    temporary = f"{output_dir}.tmp-{os.getpid()}"
    try:
        tf.saved_model.save(graph.kept, temporary, signatures=signatures)
        described = {
            "step": run.step,
            "config": configs.as_dict(run.config),
            "features": run.features,
            "export": graph_arguments,
            "versions": run_folder.versions(),
        }
        write_json(os.path.join(temporary, EXTRA, "run.json"), described)
        if warmup_video:
            requests = warmup.create_requests(
                signatures, warmup_video, warmup_queries, run.features.get("fps")
            )
            warmup.write(os.path.join(temporary, EXTRA, warmup.FILE), requests)
        os.rename(temporary, output_dir)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def folder_size(folder: str) -> int:
    """Bytes of all files under a folder."""
    return sum(
        os.path.getsize(os.path.join(root, name))
        for root, _, names in os.walk(folder)
        for name in names
    )


if __name__ == "__main__":
    program.run(main, define_flags)
