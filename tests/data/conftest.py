"""A small data set in VidSTG's layout, which tests write and then damage."""

import collections
import json
import pathlib

import numpy as np
import pytest

from gkcmn_tf import video


class VidstgFolder:
    """VidSTG records, VidOR annotations and videos below one folder.

    Records and annotations are plain dictionaries, changed at will before `write`.
    """

    def __init__(self, root: pathlib.Path):
        self.annotation_dir = root / "annotations"
        self.vidor_dir = root / "vidor"
        self.video_dir = root / "videos"
        self.records = collections.defaultdict(list)
        self.vidor = {}

    def add_vidor(self, vid, tracks, *, frame_count=40, width=64, height=48, folder="training"):
        """`tracks[tid][frame]` is a box; returns the annotation."""
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
        """A record; `clip` ends inclusively, as in the files."""
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

    def add_video(self, vid, frame_count=40, width=64, height=48):
        """A video whose frames all differ."""
        path = self.video_dir / "g0" / f"{vid}.mp4"
        levels = np.random.default_rng(0).integers(
            0, 256, (frame_count, height // 8, width // 8, 3)
        )
        frames = levels.repeat(8, axis=1).repeat(8, axis=2).astype(np.uint8)
        video.write_video(str(path), frames, 25)
        return path

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


@pytest.fixture
def folder(tmp_path):
    return VidstgFolder(tmp_path / "vidstg")


@pytest.fixture
def steady():
    """A trajectory that stands still for 40 frames."""
    return {frame: (8, 8, 24, 32) for frame in range(40)}
