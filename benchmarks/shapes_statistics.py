"""Prints the statistics in the README of data.shapes; no videos are rendered.

Example:
    python -m benchmarks.shapes_statistics
"""

import re

import numpy as np
import tqdm

from data import make_shapes
from data.shapes import scene as shapes_scene
from gkcmn_tf import program

NUM_VIDEOS, SEED, NUM_FRAMES = 1000, 0, 48


def main(argv):
    """Samples the scenes and sentences of 1,000 videos and prints their statistics."""
    del argv
    videos = [_records(number) for number in tqdm.trange(NUM_VIDEOS)]
    for name, value in statistics(videos).items():
        print(f"| {name} | {value} |")


def _records(number):
    drawing, wording = (np.random.default_rng([SEED, number, part]) for part in range(2))
    scene = shapes_scene.sample_scene(drawing, num_frames=NUM_FRAMES, min_objects=2, max_objects=3)
    return make_shapes.vidstg_records(wording, scene, str(number))


def statistics(videos: list[list[dict]]) -> dict[str, str]:
    """Returns the statistics by name."""
    records = [record for video in videos for record in video]
    texts = [
        [sentence["description"] for sentence in record["captions"] + record["questions"]]
        for record in records
    ]
    per_video = [sum(len(r["captions"] + r["questions"]) for r in video) for video in videos]
    spans = np.array(
        [[r["temporal_gt"]["begin_fid"], r["temporal_gt"]["end_fid"]] for r in records]
    )
    clips = np.array(
        [[r["used_segment"]["begin_fid"], r["used_segment"]["end_fid"] + 1] for r in records]
    )
    weights = np.array([len(text) for text in texts])
    lengths = np.repeat(spans[:, 1] - spans[:, 0], weights)
    whole = np.average((spans[:, 1] - spans[:, 0]) / (clips[:, 1] - clips[:, 0]), weights=weights)
    margin = (clips[:, 1] - clips[:, 0]) * 0.15
    middle = np.stack([clips[:, 0] + margin, clips[:, 1] - margin], axis=1)
    shared = np.minimum(middle[:, 1], spans[:, 1]) - np.maximum(middle[:, 0], spans[:, 0])
    shared = np.maximum(shared, 0)
    union = (middle[:, 1] - middle[:, 0]) + (spans[:, 1] - spans[:, 0]) - shared
    guess = np.average(shared / union, weights=weights)
    passing = np.mean([r["used_relation"]["predicate"].startswith("pass") for r in records])
    words = {word for text in texts for one in text for word in re.findall(r"\w+", one)}
    questions = sum(len(record["questions"]) for record in records)
    quartiles = np.percentile(lengths, [25, 75])
    return {
        "sentences": f"{np.mean(per_video):.1f} per video ({min(per_video)} to {max(per_video)}): "
        f"{len(records):,} statements, {questions:,} questions",
        "vocabulary": f"{len(words)} words",
        "length of ground-truth segments": f"mean {lengths.mean():.1f} frames, quartiles "
        f"{quartiles[0]:.0f} and {quartiles[1]:.0f}",
        "videos with different target objects at overlapping times": _share(videos, False),
        "videos with one target object at different times": _share(videos, True),
        "records about passing": f"{passing:.0%}",
        "m_tIoU of predicting the whole clip": f"{whole:.2f}",
        "m_tIoU of predicting the middle 70 % of the clip": f"{guess:.2f}",
    }


def _share(videos, one_object):
    """Returns the share of videos that have a certain pair of records.

    Args:
        videos: records of each video.
        one_object: True for two records of one object with disjoint segments, False for two
            records of different objects with overlapping segments.
    """

    def fits(a, b):
        target = [r["captions"][0]["target_id"] for r in (a, b)]
        spans = [r["temporal_gt"] for r in (a, b)]
        overlap = min(s["end_fid"] for s in spans) > max(s["begin_fid"] for s in spans)
        return (target[0] == target[1]) == one_object and overlap != one_object

    return f"{np.mean([any(fits(a, b) for a in v for b in v if a is not b) for v in videos]):.0%}"


if __name__ == "__main__":
    program.run(main)
