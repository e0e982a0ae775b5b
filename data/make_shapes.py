r"""Generates the shapes data set: videos, and annotations in the formats of VidSTG and VidOR.

Example:
    python -m data.make_shapes --output_dir=runs/demo/shapes --num_videos=200 --seed=0

Writes videos/GROUP/VIDEO.mp4, vidor/{training,validation}/GROUP/VIDEO.json and
annotations/{train,val,test}_{annotations,files}.json. Of every ten videos, seven are for training,
one is for validation and two are for testing. A video depends only on its number and the seed, so
a larger data set contains a smaller one, and existing videos are kept. The README of data.shapes
describes the content.
"""

import json
import os

import numpy as np
import tqdm
from absl import app, flags

from gkcmn_tf import program
from gkcmn_tf.files import read_json, write_json
from gkcmn_tf.video.writing import write_video

from .shapes import contact_sheet as shapes_contact_sheet
from .shapes import render as shapes_render
from .shapes import scene as shapes_scene
from .shapes import sentences as shapes_sentences

FLAGS = flags.FLAGS
FPS = 25
SPLIT_OF_TEN = ("train",) * 7 + ("val",) + ("test",) * 2
SPLITS = ("train", "val", "test")
VIDOR_FOLDERS = {"train": "training", "val": "training", "test": "validation"}
SHORT_CLIP = 0.25  # share of records whose clip is a part of the video
MIN_CLIP = 36  # frames


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_string("output_dir", None, "Output folder of the data set.", required=True)
    flags.DEFINE_integer(
        "num_videos", 200, "Total number of videos of all three splits.", lower_bound=10
    )
    flags.DEFINE_integer("seed", 0, "Random seed.", lower_bound=0, upper_bound=999)
    flags.DEFINE_integer("num_frames", 48, "Number of frames per video.", lower_bound=48)
    flags.DEFINE_integer(
        "min_objects", 2, "Minimum number of objects per video, if they fit.", lower_bound=1
    )
    flags.DEFINE_integer("max_objects", 3, "Maximum number of objects per video.", lower_bound=1)
    flags.DEFINE_string(
        "contact_sheet", None, "PNG file for an overview of some test sentences and their tubes."
    )


def main(argv):
    """Writes the videos and the annotations, and prints the counts."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    if FLAGS.max_objects < FLAGS.min_objects:
        raise app.UsageError("--max_objects is less than --min_objects")
    counts = make_shapes(
        FLAGS.output_dir,
        num_videos=FLAGS.num_videos,
        seed=FLAGS.seed,
        num_frames=FLAGS.num_frames,
        min_objects=FLAGS.min_objects,
        max_objects=FLAGS.max_objects,
    )
    if FLAGS.contact_sheet:
        shapes_contact_sheet.write_contact_sheet(FLAGS.contact_sheet, FLAGS.output_dir)
    print(json.dumps(counts))


def make_shapes(
    output_dir: str,
    *,
    num_videos: int,
    seed: int = 0,
    num_frames: int = 48,
    min_objects: int = 2,
    max_objects: int = 3,
) -> dict:
    """Generates the data set, or completes an interrupted one.

    Args:
        output_dir: output folder.
        num_videos: total number of videos of all three splits.
        seed: random seed.
        num_frames: number of frames per video.
        min_objects: minimum number of objects per video, if they fit.
        max_objects: maximum number of objects per video.

    Returns:
        Numbers of videos, records, captions and questions by split.

    Raises:
        ValueError: `output_dir` contains shapes with another seed or other settings, or from
            another version of this program.
    """
    settings = {
        "seed": seed,
        "num_frames": num_frames,
        "min_objects": min_objects,
        "max_objects": max_objects,
    }
    _claim_folder(output_dir, settings)
    annotations = {split: [] for split in SPLITS}
    files = {split: [] for split in SPLITS}
    for number in tqdm.trange(num_videos, desc="shapes", unit="video"):
        split = SPLIT_OF_TEN[number % 10]
        # Separate random streams, so that the sentences do not depend on how the scene is drawn.
        drawing, wording = (np.random.default_rng([seed, number, part]) for part in range(2))
        scene = shapes_scene.sample_scene(
            drawing, num_frames=num_frames, min_objects=min_objects, max_objects=max_objects
        )
        vid = str(1_000_000_000 + seed * 1_000_000 + number)
        path = f"{1000 + number // 100}/{vid}"
        vidor_path = os.path.join(output_dir, "vidor", VIDOR_FOLDERS[split], f"{path}.json")
        video_path = os.path.join(output_dir, "videos", f"{path}.mp4")
        vidor = vidor_annotation(scene, vid, f"{path}.mp4")
        if not (os.path.exists(video_path) and os.path.exists(vidor_path)):
            write_video(video_path, shapes_render.frames(scene), FPS)
            write_json(vidor_path, vidor)
        elif read_json(vidor_path) != vidor:
            # Drawn by another version of the program; new sentences would not match the video.
            raise ValueError(f"{vidor_path}: contains another scene; use an empty --output_dir")
        annotations[split] += vidstg_records(wording, scene, vid)
        files[split].append(vid)
    for split in SPLITS:
        folder = os.path.join(output_dir, "annotations")
        write_json(os.path.join(folder, f"{split}_annotations.json"), annotations[split])
        write_json(os.path.join(folder, f"{split}_files.json"), files[split])
    return {
        split: {
            "videos": len(files[split]),
            "records": len(annotations[split]),
            "declarative": sum(len(record["captions"]) for record in annotations[split]),
            "interrogative": sum(len(record["questions"]) for record in annotations[split]),
        }
        for split in SPLITS
    }


def _claim_folder(output_dir, settings):
    path = os.path.join(output_dir, "settings.json")
    if os.path.exists(path):
        before = read_json(path)
        if before != settings:
            raise ValueError(
                f"{output_dir}: contains shapes with settings {before}, expected {settings}; use "
                "an empty --output_dir"
            )
    write_json(path, settings)


def _categories(scene):
    return [{"tid": thing.tid, "category": thing.shape} for thing in scene.objects]


def vidor_annotation(scene: shapes_scene.Scene, vid: str, video_path: str) -> dict:
    """Returns a scene as VidOR JSON; boxes at every frame, rounded outwards to whole pixels."""
    limits = [scene.width, scene.height, scene.width, scene.height]
    boxes = {}
    for thing in scene.objects:
        exact = thing.boxes()
        outward = np.concatenate([np.floor(exact[:, :2]), np.ceil(exact[:, 2:])], axis=1)
        boxes[thing.tid] = np.clip(outward, 0, limits).astype(int).tolist()
    names = ("xmin", "ymin", "xmax", "ymax")
    return {
        "version": "shapes",
        "video_id": vid,
        "video_hash": "",
        "video_path": video_path,
        "frame_count": scene.num_frames,
        "fps": FPS,
        "width": scene.width,
        "height": scene.height,
        "subject/objects": _categories(scene),
        "trajectories": [
            [
                {
                    "tid": tid,
                    "bbox": dict(zip(names, tube[frame], strict=True)),
                    "generated": 0,
                    "tracker": "none",
                }
                for tid, tube in boxes.items()
            ]
            for frame in range(scene.num_frames)
        ],
        "relation_instances": [
            _relation(event) for event in shapes_scene.events(scene) if event.clear
        ],
    }


def _relation(event):
    """Returns a VidOR relation; for a single-object action, subject and object are the same."""
    return {
        "subject_tid": event.subject.tid,
        "object_tid": (event.other or event.subject).tid,
        "predicate": event.name,
        "begin_fid": event.begin,
        "end_fid": event.end,
    }


def vidstg_records(rng: np.random.Generator, scene: shapes_scene.Scene, vid: str) -> list[dict]:
    """Returns the VidSTG records of a scene, one for each unambiguous event."""
    found = []
    events = shapes_scene.events(scene)
    for event in events:
        if not event.clear:
            continue
        begin, end = _sample_clip(rng, event, scene.num_frames)
        caption = shapes_sentences.declarative(rng, event, events, begin, end)
        question = shapes_sentences.interrogative(rng, event, events, begin, end)
        if caption is None:
            continue
        sentences = [
            [{"description": text, "type": "shape", "target_id": event.subject.tid}] if text else []
            for text in (caption, question)
        ]
        found.append(
            {
                "vid": vid,
                "fps": FPS,
                "frame_count": scene.num_frames,
                # As in VidSTG, the clip's end is inclusive and the ground truth's is exclusive.
                "used_segment": {"begin_fid": begin, "end_fid": end - 1},
                "width": scene.width,
                "height": scene.height,
                "subject/objects": _categories(scene),
                "used_relation": _relation(event),
                "temporal_gt": {"begin_fid": event.begin, "end_fid": event.end},
                "captions": sentences[0],
                "questions": sentences[1],
            }
        )
    return found


def _sample_clip(rng, event, num_frames):
    if rng.random() >= SHORT_CLIP:
        return 0, num_frames
    length = int(rng.integers(MIN_CLIP, num_frames + 1))
    low = max(0, event.end - length)
    high = min(event.begin, num_frames - length)
    begin = int(rng.integers(low, high + 1))
    return begin, begin + length


if __name__ == "__main__":
    program.run(main, define_flags)
