r"""Answers the sentences of the long setting from the state of the objects, as an upper bound.

Example:
    python -m data.shapes_oracle --shapes_dir=runs/long/shapes --split=test \
        --output_dir=runs/long/oracle
    python -m gkcmn_tf.evaluate --ground_truth=runs/long/oracle/gt.json \
        --predictions=runs/long/oracle/predictions.json

The program samples the scenes again from the seed, observes what their objects do, and parses each
sentence (`data.shapes.reader`). It answers with the box of the object at each frame of the event,
in whole pixels; it does not read the tubes of the annotations. A sentence that describes nothing,
or not certainly one event, has no tube. gt.json contains the annotations of the split, with minimal
pairs and absent sentences. Neither videos nor features are needed.

With --split=train, gt.json can be given to gkcmn_tf.evaluate as --train_ground_truth.
"""

import os
from collections.abc import Iterable

import numpy as np
import tqdm
from absl import app, flags, logging

from gkcmn_tf import program, tubes
from gkcmn_tf.evaluation import prediction, tube_files
from gkcmn_tf.files import read_json
from gkcmn_tf.records.clip_records import Clip

from . import make_shapes, vidstg, vidstg_contrasts
from .shapes import long_scene
from .shapes.reader import Reader
from .shapes.scene import Scene

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_string(
        "shapes_dir", None, "Folder of data.make_shapes --setting=long.", required=True
    )
    flags.DEFINE_enum("split", "test", make_shapes.SPLITS, "Split to answer.")
    flags.DEFINE_string(
        "output_dir", None, "Folder for gt.json and predictions.json.", required=True
    )


def main(argv):
    """Writes ground truth and predictions of a split."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    logging.set_verbosity(logging.INFO)
    ground_truth, predictions = answer_split(FLAGS.shapes_dir, FLAGS.split)
    tube_files.write_tubes(FLAGS.output_dir, ground_truth, predictions)
    answered = sum(tube is not None for tube in predictions.values())
    print(f"{len(predictions)} sentences, {answered} with a tube: {FLAGS.output_dir}")


def answer_split(
    shapes_dir: str, split: str
) -> tuple[list[tubes.GroundTruth], dict[str, tubes.Tube | None]]:
    """Returns the ground truth and the answers of a split.

    Args:
        shapes_dir: folder of the long setting.
        split: name of the split.

    Raises:
        FileNotFoundError: the folder has no release.json or annotations.
        ValueError: the annotations are invalid, or from another version of the program.
    """
    path = os.path.join(shapes_dir, "release.json")
    if not os.path.exists(path):
        raise FileNotFoundError(
            f"{path}: no such file; make the data set with data.make_shapes --setting=long"
        )
    release = read_json(path)
    if release["version"] != make_shapes.LONG_VERSION:
        raise ValueError(
            f"{path}: version {release['version']}, expected {make_shapes.LONG_VERSION}; scenes "
            "of another version cannot be sampled again"
        )
    knobs = long_scene.Knobs(**release["knobs"])
    annotation_dir = os.path.join(shapes_dir, "annotations")
    paths = vidstg.find_vidor_annotations(os.path.join(shapes_dir, "vidor"))
    annotations = vidstg.read_split(split, annotation_dir, paths)
    absent = vidstg_contrasts.read_absent(split, annotation_dir, annotations)
    clips = annotations.clips + (absent.clips if absent else [])
    if skipped := annotations.skipped + (absent.skipped if absent else []):
        raise ValueError(f"{annotation_dir}: sentence {skipped[0].id}: {skipped[0].reason}")
    by_video = {}
    for clip in clips:
        by_video.setdefault(clip.video_id, []).append(clip)
    found = {}
    for vid, about in tqdm.tqdm(by_video.items(), desc="oracle", unit="video"):
        scene = make_shapes.long_scene_of(release["seed"], knobs, vid)
        found |= answer(scene, about)
    ground_truth = prediction.true_tubes(clips, annotations.pairs)
    return ground_truth, {truth.id: found[truth.id] for truth in ground_truth}


def answer(scene: Scene, clips: Iterable[Clip]) -> dict[str, tubes.Tube | None]:
    """Returns the answers to the sentences of clips of a scene, by sentence id."""
    reader = Reader(scene)
    boxes = {tid: np.array(track) for tid, track in make_shapes.pixel_boxes(scene).items()}
    found = {}
    for clip in clips:
        for sentence in clip.sentences:
            seen = reader.read(sentence.text, clip.begin, clip.end).only
            found[sentence.id] = seen and tubes.Tube(
                seen.begin, seen.end, boxes[seen.tid][seen.begin : seen.end]
            )
    return found


if __name__ == "__main__":
    program.run(main, define_flags)
