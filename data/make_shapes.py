r"""Generates the shapes data set: videos, and annotations in the formats of VidSTG and VidOR.

Example:
    python -m data.make_shapes --output_dir=runs/demo/shapes --num_videos=200 --seed=0
    python -m data.make_shapes --setting=long --output_dir=runs/long/shapes --num_videos=1400 \
        --processes=2
    python -m data.make_shapes --setting=joined --output_dir=runs/joined --minutes=10

Writes videos/GROUP/VIDEO.mp4, vidor/{training,validation}/GROUP/VIDEO.json and
annotations/{train,val,test}_{annotations,files}.json. Of every ten videos, seven are for training,
one is for validation and two are for testing. A video depends only on its number and the seed, so
a larger data set contains a smaller one, and existing videos are kept. The README of data.shapes
describes the content.

The long setting, described in long.md there, is for comparing models. Of every twenty of the first
1,400 videos, ten are for training, one is for validation and nine are for testing; all further ones
are for training. It also writes annotations/{train,val,test}_{pairs,absent}.json and release.json.

The joined setting is one long video, videos/joined.mp4, of scenes of the default setting, with
sentences about single scenes in test.jsonl, in the format of `data.custom`.
"""

import collections
import contextlib
import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import tqdm
from absl import app, flags

from gkcmn_tf import interruption, program
from gkcmn_tf.files import read_json, write_json, write_text
from gkcmn_tf.video.writing import write_video

from .shapes import contact_sheet as shapes_contact_sheet
from .shapes import contrasts, joined, long_records, long_scene
from .shapes import render as shapes_render
from .shapes import scene as shapes_scene
from .shapes import sentences as shapes_sentences

FLAGS = flags.FLAGS
RESUMES = True
FPS = 25
SPLIT_OF_TEN = ("train",) * 7 + ("val",) + ("test",) * 2
LONG_SPLIT_OF_TWENTY = ("train",) * 10 + ("val",) + ("test",) * 9
LONG_SHARED_VIDEOS = 1400  # all further videos are for training, so that the test split is fixed
SETTINGS = ("default", "long", "joined")
LONG_VERSION = "1.0"
MOST_VIDEOS = 1_000_000  # of a seed, for the ids of the videos
SPLITS = ("train", "val", "test")
VIDOR_FOLDERS = {"train": "training", "val": "training", "test": "validation"}
SHORT_CLIP = 0.25  # share of records whose clip is a part of the video
MIN_CLIP = 36  # frames
DEFAULT_KNOBS = long_scene.Knobs()


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
    flags.DEFINE_enum(
        "setting",
        "default",
        SETTINGS,
        "Default: short videos for the demo. Long: videos of 48 to 100 steps for comparing models. "
        "Joined: one video of --minutes, of many scenes of the default setting.",
    )
    flags.DEFINE_float("minutes", 10.0, "Length of a joined video.", lower_bound=0.1)
    flags.DEFINE_integer(
        "num_sentences", 8, "Number of sentences about a joined video.", lower_bound=1
    )
    flags.DEFINE_list(
        "knobs",
        [],
        "Changes of the long setting, as NAME=VALUE: "
        + ", ".join(f"{name}={value}" for name, value in vars(long_scene.Knobs()).items())
        + ".",
    )
    flags.DEFINE_integer(
        "processes", 1, "Processes that draw videos (long setting).", lower_bound=1
    )
    flags.DEFINE_string(
        "contact_sheet", None, "PNG file for an overview of some test sentences and their tubes."
    )


def main(argv):
    """Writes the videos and the annotations, and prints the counts."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    if FLAGS.max_objects < FLAGS.min_objects:
        raise app.UsageError("--max_objects is less than --min_objects")
    if FLAGS.setting == "long":
        for name in ("num_frames", "min_objects", "max_objects"):
            if FLAGS[name].present:
                raise app.UsageError(f"--{name}: with --setting=long, use --knobs")
        counts = make_long_shapes(
            FLAGS.output_dir,
            num_videos=FLAGS.num_videos,
            seed=FLAGS.seed,
            knobs=parse_knobs(FLAGS.knobs),
            processes=FLAGS.processes,
        )
    elif FLAGS.knobs:
        raise app.UsageError("--knobs needs --setting=long")
    elif FLAGS.setting == "joined":
        counts = make_joined_shapes(
            FLAGS.output_dir,
            minutes=FLAGS.minutes,
            num_sentences=FLAGS.num_sentences,
            seed=FLAGS.seed,
            min_objects=FLAGS.min_objects,
            max_objects=FLAGS.max_objects,
        )
    else:
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
        vid = str(1_000_000_000 + seed * MOST_VIDEOS + number)
        path = f"{1000 + number // 100}/{vid}"
        _write_files(output_dir, split, path, scene, vid, indent=1)
        annotations[split] += vidstg_records(wording, scene, vid)
        files[split].append(vid)
    for split in SPLITS:
        folder = os.path.join(output_dir, "annotations")
        write_json(os.path.join(folder, f"{split}_annotations.json"), annotations[split])
        write_json(os.path.join(folder, f"{split}_files.json"), files[split])
    return {split: _count(annotations[split], files[split]) for split in SPLITS}


def make_joined_shapes(
    output_dir: str,
    *,
    minutes: float,
    num_sentences: int,
    seed: int = 0,
    min_objects: int = 2,
    max_objects: int = 3,
) -> dict:
    """Writes videos/joined.mp4 and test.jsonl, annotations in the format of `data.custom`.

    Args:
        output_dir: output folder, new or empty.
        minutes: length of the video, rounded to whole scenes.
        num_sentences: number of sentences.
        seed: random seed.
        min_objects: minimum number of objects per scene, if they fit.
        max_objects: maximum number of objects per scene.

    Returns:
        the number of scenes, frames and sentences.

    Raises:
        ValueError: the video is too short for the sentences, or the folder is not empty.
    """
    if os.path.isdir(output_dir) and os.listdir(output_dir):
        raise ValueError(f"{output_dir}: is not empty; use a new folder")
    num_scenes = max(round(minutes * 60 * FPS / joined.SCENE_FRAMES), 1)
    scenes, described = joined.sample(
        np.random.default_rng(seed),
        num_scenes=num_scenes,
        num_sentences=num_sentences,
        min_objects=min_objects,
        max_objects=max_objects,
    )
    frames = (
        frame
        for scene in tqdm.tqdm(scenes, desc="drawing", unit="scene")
        for frame in shapes_render.frames(scene)
    )
    video = "videos/joined.mp4"
    write_video(os.path.join(output_dir, video), frames, FPS)
    lines = []
    for one in described:
        event, first = one.event, one.scene * joined.SCENE_FRAMES
        boxes = pixel_boxes(scenes[one.scene])[event.subject.tid][event.begin : event.end]
        begin, end = first + event.begin, first + event.end
        record = {"video": video, "sentence": one.text, "begin": begin, "end": end, "boxes": boxes}
        lines.append(json.dumps(record) + "\n")
    write_text(os.path.join(output_dir, "test.jsonl"), "".join(lines))
    return {
        "scenes": num_scenes,
        "frames": num_scenes * joined.SCENE_FRAMES,
        "sentences": len(described),
    }


def make_long_shapes(
    output_dir: str,
    *,
    num_videos: int,
    seed: int = 0,
    knobs: long_scene.Knobs = DEFAULT_KNOBS,
    processes: int = 1,
) -> dict:
    """Generates the data set in the long setting, or completes an interrupted one.

    Args:
        output_dir: output folder.
        num_videos: total number of videos of all three splits.
        seed: random seed.
        knobs: difficulty of the scenes.
        processes: number of processes that draw videos.

    Returns:
        Content of `release.json`: version, seed, knobs, counts by split, SHA-256 of the test split.

    Raises:
        ValueError: `output_dir` contains shapes with another seed or other settings, or from
            another version of this program; or the objects do not fit into the frame.
    """
    settings = {
        "setting": "long",
        "version": LONG_VERSION,
        "seed": seed,
        "knobs": dataclasses.asdict(knobs),
    }
    _claim_folder(output_dir, settings)
    make = functools.partial(_make_long_video, output_dir, seed, knobs)
    with contextlib.ExitStack() as stack:
        made = map(make, range(num_videos))
        if processes > 1:
            workers = interruption.worker_map(make, range(num_videos), processes)
            made = stack.enter_context(workers)
        line = tqdm.tqdm(made, desc="shapes", unit="video", total=num_videos)
        annotations = {split: LongAnnotations() for split in SPLITS}
        choose_long_sentences(line, seed, knobs, annotations)
    for split, of_split in annotations.items():
        for name, content in of_split.files(split).items():
            write_json(os.path.join(output_dir, "annotations", f"{split}_{name}.json"), content)
    release = settings | {
        "splits": {split: of_split.counts(split) for split, of_split in annotations.items()},
        "test_sha256": annotations["test"].sha256("test"),
    }
    write_json(os.path.join(output_dir, "release.json"), release)
    return release


@dataclasses.dataclass
class LongAnnotations:
    """Annotations of a split of the long setting.

    Attributes:
        vids: ids of the videos.
        records: VidSTG records.
        properties: `balance.PROPERTIES` of the tube of each record.
        absent: sentences that describe nothing.
        tracks: SHA-256 of the VidOR annotation of each video.
    """

    vids: list[str] = dataclasses.field(default_factory=list)
    records: list[dict] = dataclasses.field(default_factory=list)
    properties: list[np.ndarray] = dataclasses.field(default_factory=list)
    absent: list[dict] = dataclasses.field(default_factory=list)
    tracks: list[str] = dataclasses.field(default_factory=list)

    def files(self, split: str) -> dict[str, list]:
        """Returns the content of the annotation files by name, such as `pairs`."""
        return {
            "annotations": self.records,
            "files": self.vids,
            "pairs": contrasts.minimal_pairs(self.records, split),
            "absent": self.absent,
        }

    def sha256(self, split: str) -> str:
        """Returns the SHA-256 of all annotations of the split, without the encoded videos."""
        content = json.dumps([self.files(split), self.tracks])
        return hashlib.sha256(content.encode()).hexdigest()

    def counts(self, split: str) -> dict[str, int]:
        """Returns the numbers of videos, records, sentences, pairs and absent sentences."""
        kinds = collections.Counter(pair["kind"] for pair in self.files(split)["pairs"])
        return _count(self.records, self.vids) | {
            "pairs_of_one_word": kinds["word"],
            "moved_pairs": kinds["moved"],
            "absent": len(self.absent),
        }


def choose_long_sentences(
    candidates: Iterable[long_records.Candidates],
    seed: int,
    knobs: long_scene.Knobs,
    annotations: Mapping[str, LongAnnotations],
) -> None:
    """Chooses the sentences of videos 0, 1, 2, ... and adds them to the annotations by split."""
    selections = {split: long_records.Selection(knobs.words) for split in SPLITS}
    for number, found in enumerate(candidates):
        split, vid, path = long_video(seed, number)
        wording = np.random.default_rng([seed, number, 1])
        described, absent = selections[split].choose(wording, found)
        there = annotations[split]
        there.vids.append(vid)
        vidor = json.dumps(vidor_annotation(found.scene, vid, f"{path}.mp4"))
        there.tracks.append(hashlib.sha256(vidor.encode()).hexdigest())
        there.properties += [one.properties for one in described]
        there.records += [
            _record(found.scene, vid, one.begin, one.end, one.event, one.statement, one.question)
            for one in described
        ]
        there.absent += [_absent_entry(one, vid) for one in absent]


def long_candidates(seed: int, knobs: long_scene.Knobs, number: int) -> long_records.Candidates:
    """Returns a scene of the long setting and all that can be said about it."""
    scene = _sample_long_scene(seed, knobs, number)
    return long_records.Candidates(scene, np.random.default_rng([seed, number, 2]))


def long_scene_of(seed: int, knobs: long_scene.Knobs, vid: str) -> shapes_scene.Scene:
    """Returns the scene of a video of the long setting, by the id of the video.

    Raises:
        ValueError: the data set with this seed has no such video.
    """
    number = int(vid) - int(long_video(seed, 0)[1]) if vid.isdecimal() else -1
    if not 0 <= number < MOST_VIDEOS:
        raise ValueError(f"video {vid}: not in the long setting with seed {seed}")
    return _sample_long_scene(seed, knobs, number)


def _sample_long_scene(seed, knobs, number):
    return long_scene.sample_scene(np.random.default_rng([seed, number, 0]), knobs)


def parse_knobs(assignments: Sequence[str]) -> long_scene.Knobs:
    """Returns the knobs of the long setting with the given `NAME=VALUE` changes.

    Raises:
        ValueError: there is no such knob, or the value is not a number in its range.
    """
    values = {}
    fields = {field.name: type(field.default) for field in dataclasses.fields(long_scene.Knobs)}
    for assignment in assignments:
        name, _, value = assignment.partition("=")
        if name not in fields:
            raise ValueError(f"--knobs: no knob {name!r}; there are {', '.join(fields)}")
        try:
            values[name] = fields[name](value)
        except ValueError as error:
            raise ValueError(f"--knobs: {name}: {error}") from error
    return long_scene.Knobs(**values)


def _count(annotations, files):
    return {
        "videos": len(files),
        "records": len(annotations),
        "declarative": sum(len(record["captions"]) for record in annotations),
        "interrogative": sum(len(record["questions"]) for record in annotations),
    }


def long_video(seed: int, number: int) -> tuple[str, str, str]:
    """Returns split, id and path (without suffix) of a video of the long setting."""
    vid = str(2_000_000_000 + seed * MOST_VIDEOS + number)
    split = LONG_SPLIT_OF_TWENTY[number % 20] if number < LONG_SHARED_VIDEOS else "train"
    return split, vid, f"{2000 + number // 100}/{vid}"


def _make_long_video(output_dir, seed, knobs, number):
    """Writes a video and its VidOR annotation; returns what can be said about it."""
    split, vid, path = long_video(seed, number)
    candidates = long_candidates(seed, knobs, number)
    _write_files(output_dir, split, path, candidates.scene, vid, indent=None)
    return candidates


def _write_files(output_dir, split, path, scene, vid, indent):
    """Writes a video and its VidOR annotation, unless they exist."""
    vidor_path = os.path.join(output_dir, "vidor", VIDOR_FOLDERS[split], f"{path}.json")
    video_path = os.path.join(output_dir, "videos", f"{path}.mp4")
    vidor = vidor_annotation(scene, vid, f"{path}.mp4")
    if not (os.path.exists(video_path) and os.path.exists(vidor_path)):
        write_video(video_path, shapes_render.frames(scene), FPS)
        write_json(vidor_path, vidor, indent=indent)
    elif read_json(vidor_path) != vidor:
        # Drawn by another version of the program; new sentences would not match the video.
        raise ValueError(f"{vidor_path}: contains another scene; use an empty --output_dir")


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
    """Returns a scene as VidOR JSON, with boxes at every frame in whole pixels."""
    boxes = pixel_boxes(scene)
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
        "relation_instances": [_relation(event) for event in _events(scene) if event.clear],
    }


def pixel_boxes(scene: shapes_scene.Scene) -> dict[int, list[list[int]]]:
    """Returns the boxes of each object at every frame, rounded outwards to whole pixels."""
    limits = [scene.width, scene.height, scene.width, scene.height]
    boxes = {}
    for thing in scene.objects:
        exact = thing.boxes()
        outward = np.concatenate([np.floor(exact[:, :2]), np.ceil(exact[:, 2:])], axis=1)
        boxes[thing.tid] = np.clip(outward, 0, limits).astype(int).tolist()
    return boxes


def _events(scene):
    return (shapes_scene if scene.drift is None else long_scene).events(scene)


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
        found.append(_record(scene, vid, begin, end, event, caption, question))
    return found


def _absent_entry(one, vid):
    return {
        "vid": vid,
        "used_segment": {"begin_fid": one.begin, "end_fid": one.end - 1},
        "description": one.text,
        "qtype": one.qtype,
        "absent": one.reason,
        "like": one.like,
    }


def _record(scene, vid, begin, end, event, caption, question):
    """Returns the VidSTG record of an event in clip `[begin, end)`."""
    sentences = [
        [{"description": text, "type": "shape", "target_id": event.subject.tid}] if text else []
        for text in (caption, question)
    ]
    return {
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
