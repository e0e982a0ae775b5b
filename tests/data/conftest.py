"""Small data sets in each format, which tests modify and write."""

import collections
import csv
import json
import pathlib

import numpy as np
import pytest

from gkcmn_tf.video import writing


def write_noise(path, frame_count=40, width=64, height=48, fps=25):
    """Writes a video with distinct frames."""
    levels = np.random.default_rng(0).integers(0, 256, (frame_count, height // 8, width // 8, 3))
    frames = levels.repeat(8, axis=1).repeat(8, axis=2).astype(np.uint8)
    writing.write_video(str(path), frames, fps)
    return path


class VidstgFolder:
    """VidSTG records, VidOR annotations and videos below one folder.

    Records and annotations are plain dictionaries, which can be changed before `write`.
    """

    def __init__(self, root: pathlib.Path):
        self.annotation_dir = root / "annotations"
        self.vidor_dir = root / "vidor"
        self.video_dir = root / "videos"
        self.records = collections.defaultdict(list)
        self.vidor = {}

    def add_vidor(self, vid, tracks, *, frame_count=40, width=64, height=48, folder="training"):
        """Adds an annotation, where `tracks[tid][frame]` is a box, and returns it."""
        trajectories = [
            [
                {
                    "tid": tid,
                    "bbox": dict(zip(("xmin", "ymin", "xmax", "ymax"), boxes[f], strict=True)),
                }
                for tid, boxes in tracks.items()
                if f in boxes
            ]
            for f in range(frame_count)
        ]
        annotation = {
            "video_id": vid,
            "video_path": f"g0/{vid}.mp4",
            "frame_count": frame_count,
            "fps": 25,
            "width": width,
            "height": height,
            "subject/objects": [{"tid": tid, "category": "dog"} for tid in tracks],
            "trajectories": trajectories,
            "relation_instances": [],
        }
        self.vidor[folder, vid] = annotation
        return annotation

    def add_record(
        self,
        vid,
        *,
        split="val",
        clip=(0, 39),
        truth=(10, 20),
        captions=("a dog runs.",),
        questions=("who runs?",),
        target=0,
    ):
        """Adds a record; the end of `clip` is inclusive, as in the files."""
        record = {
            "vid": vid,
            "fps": 25,
            "frame_count": 40,
            "used_segment": {"begin_fid": clip[0], "end_fid": clip[1]},
            "width": 64,
            "height": 48,
            "temporal_gt": {"begin_fid": truth[0], "end_fid": truth[1]},
            "captions": [{"description": text, "target_id": target} for text in captions],
            "questions": [{"description": text, "target_id": target} for text in questions],
        }
        self.records[split].append(record)
        return record

    def add_video(self, vid, frame_count=40, width=64, height=48, fps=25):
        """A video whose frames all differ."""
        return write_noise(self.video_dir / "g0" / f"{vid}.mp4", frame_count, width, height, fps)

    def write(self):
        """Writes the JSON files."""
        self.annotation_dir.mkdir(parents=True, exist_ok=True)
        for split, records in self.records.items():
            path = self.annotation_dir / f"{split}_annotations.json"
            path.write_text(json.dumps(records), encoding="utf-8")
        for (folder, vid), annotation in self.vidor.items():
            path = self.vidor_dir / folder / "g0" / f"{vid}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(annotation), encoding="utf-8")


class HcstvgFolder:
    """HC-STVG records by file and videos in a sub-folder, below one folder.

    Records are plain dictionaries, which can be changed before `write`.
    """

    def __init__(self, root: pathlib.Path):
        self.annotation_dir = root / "annotations"
        self.video_dir = root / "videos"
        self.files = collections.defaultdict(dict)

    def add_record(self, name, *, file="train.json", st_frame=11, boxes=10, img_num=40):
        """Adds a record of the file's version; 20 seconds are 40 frames."""
        begin = st_frame - 1
        record = {
            "bbox": [[8, 8, 16, 24] for _ in range(boxes)],
            "st_time": begin / 2,
            "ed_time": (begin + boxes) / 2,
            "st_frame": st_frame,
            "img_num": img_num,
        }
        if file.endswith("_v2.json"):
            record |= {"English": "The man sits.", "Chinese": "", "img_size": [48, 64]}
        else:
            record |= {"caption": "The man sits.", "width": 64, "height": 48}
        self.files[file][name] = record
        return record

    def add_video(self, name, frame_count=40, width=64, height=48, part="1", fps=25):
        """A video whose frames all differ."""
        return write_noise(self.video_dir / part / name, frame_count, width, height, fps)

    def write(self):
        """Writes the JSON files."""
        self.annotation_dir.mkdir(parents=True, exist_ok=True)
        for file, records in self.files.items():
            (self.annotation_dir / file).write_text(json.dumps(records), encoding="utf-8")


class CustomFolder:
    """Custom annotations and videos in one folder.

    Lines are plain dictionaries, which can be changed before `write`; strings are kept.
    """

    def __init__(self, root: pathlib.Path):
        self.annotation_dir = root / "annotations"
        self.video_dir = root / "videos"
        self.lines = collections.defaultdict(list)

    def add_line(self, video_path="a.mp4", *, split="val", **fields):
        """Adds a line; fields that are `None` are omitted."""
        line = {
            "video": video_path,
            "sentence": "a dog runs.",
            "begin": 10,
            "end": 20,
            "boxes": {"10": [8, 8, 24, 32], "19": [8, 8, 24, 32]},
        } | fields
        line = {name: value for name, value in line.items() if value is not None}
        self.lines[split].append(line)
        return line

    def add_video(self, path="a.mp4", frame_count=40, width=64, height=48):
        """A video whose frames all differ."""
        return write_noise(self.video_dir / path, frame_count, width, height)

    def write(self, suffix="jsonl"):
        """Writes the files; returns the path of the last one."""
        self.annotation_dir.mkdir(parents=True, exist_ok=True)
        for split, lines in self.lines.items():
            path = self.annotation_dir / f"{split}.{suffix}"
            with path.open("w", encoding="utf-8", newline="") as file:
                if suffix == "csv":
                    _write_csv(file, lines)
                else:
                    file.writelines(
                        f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines
                    )
        return path


def _write_csv(file, lines):
    columns = list(dict.fromkeys(name for line in lines for name in line))
    writer = csv.DictWriter(file, columns)
    writer.writeheader()
    for line in lines:
        boxes = {"boxes": json.dumps(line["boxes"])} if "boxes" in line else {}
        writer.writerow(line | boxes)


@pytest.fixture
def hcstvg_folder(tmp_path):
    return HcstvgFolder(tmp_path / "hcstvg")


@pytest.fixture
def custom_folder(tmp_path):
    return CustomFolder(tmp_path / "custom")


@pytest.fixture
def folder(tmp_path):
    return VidstgFolder(tmp_path / "vidstg")


@pytest.fixture
def steady():
    """A trajectory with a constant box for 40 frames."""
    return {frame: (8, 8, 24, 32) for frame in range(40)}
