"""Prints the statistics in the datasheet of the long setting of the shapes data set.

No videos are drawn; annotations are those of `data.make_shapes --setting=long`.

Example:
    python -m benchmarks.shapes_long_statistics
"""

import collections
import functools

import numpy as np
import tqdm
from absl import app, flags

from data import make_shapes
from data.shapes import balance, independence, long_scene
from gkcmn_tf import interruption, program
from gkcmn_tf.video.windows import count_windows

FLAGS = flags.FLAGS
NUM_VIDEOS, SEED = 1400, 0


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_integer("num_videos", NUM_VIDEOS, "Number of videos.", lower_bound=40)
    flags.DEFINE_integer("processes", 1, "Number of processes.", lower_bound=1)


def main(argv):
    """Samples all scenes and sentences and prints their statistics as tables."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    knobs = long_scene.Knobs()
    make = functools.partial(make_shapes.long_candidates, SEED, knobs)
    annotations = {split: make_shapes.LongAnnotations() for split in make_shapes.SPLITS}
    scenes = []
    with interruption.worker_map(make, range(FLAGS.num_videos), FLAGS.processes) as made:
        line = tqdm.tqdm(made, total=FLAGS.num_videos, mininterval=10)
        candidates = _remember(line, scenes)
        make_shapes.choose_long_sentences(candidates, SEED, knobs, annotations)
    print_splits(annotations)
    print_statistics(annotations, scenes)
    print(f"| SHA-256 of the test split | {annotations['test'].sha256('test')} |")
    for split in ("train", "test"):
        print_independence(split, annotations[split])


def _remember(candidates, scenes):
    """Yields the candidates; appends facts about their scenes."""
    for found in candidates:
        described = {event.tube for _, event in found.found[0]}
        actions = [action for thing in found.scene.objects for action in thing.actions]
        scenes.append((found.scene, actions, len(described)))
        yield found


def print_splits(annotations: dict[str, make_shapes.LongAnnotations]) -> None:
    """Prints the counts of all splits."""
    counts = {split: of_split.counts(split) for split, of_split in annotations.items()}
    print(f"| | {' | '.join(counts)} |\n|---|{'---:|' * len(counts)}")
    for name in counts["test"]:
        values = " | ".join(f"{counts[split][name]:,}" for split in counts)
        print(f"| {name.replace('_', ' ')} | {values} |")


def print_statistics(annotations: dict[str, make_shapes.LongAnnotations], scenes: list) -> None:
    """Prints statistics of scenes and sentences."""
    records = [record for split in annotations.values() for record in split.records]
    properties = np.array([tube for split in annotations.values() for tube in split.properties])
    texts = [
        asked["description"]
        for record in records
        for asked in record["captions"] + record["questions"]
    ]
    steps = np.array([count_windows(scene.num_frames) for scene, _, _ in scenes])
    lengths = np.array([a.end - a.begin for _, actions, _ in scenes for a in actions])
    words = collections.Counter(word for text in texts for word in balance.words(text))
    limits = {
        "for the first or second time": " time",
        "after": " after ",
        "before": " before ",
        "while": " while ",
    }
    asked = " or ".join(
        f"{np.mean([word in t for t in texts]):.0%} {name}" for name, word in limits.items()
    )
    related = [r["used_relation"]["predicate"] in long_scene.RELATIONS for r in records]
    begin, end = properties[:, 0], properties[:, 0] + _length_share(records)
    places = np.linspace(0, 1, 41)
    guesses = {
        (low, high): _mean_overlap(begin, end, low, high)
        for low in places
        for high in places
        if low < high
    }
    (low, high), best = max(guesses.items(), key=lambda guess: guess[1])
    objects = [len(scene.objects) for scene, _, _ in scenes]
    for name, value in {
        "steps per video": f"mean {steps.mean():.1f}, {steps.min()} to {steps.max()}",
        "windows of features": f"{steps.sum():,}",
        "objects per video": f"mean {np.mean(objects):.1f}, {min(objects)} to {max(objects)}",
        "actions per video": f"mean {np.mean([len(a) for _, a, _ in scenes]):.1f}",
        "length of actions": f"mean {lengths.mean():.0f} frames, quartiles "
        f"{np.percentile(lengths, 25):.0f} and {np.percentile(lengths, 75):.0f}, "
        f"{lengths.min()} to {lengths.max()}",
        "events per video that a sentence may describe": f"{np.mean([n for *_, n in scenes]):.1f}",
        "length of ground-truth segments": f"mean {properties[:, 1].mean():.0f} frames, quartiles "
        f"{np.percentile(properties[:, 1], 25):.0f} and {np.percentile(properties[:, 1], 75):.0f}",
        "sentences per video": f"{len(texts) / len(scenes):.1f}",
        "words of a sentence": f"mean {np.mean([len(t.split()) for t in texts]):.1f}, at most "
        f"{max(len(t.split()) for t in texts)}",
        "vocabulary": f"{len(words)} words",
        "sentences with a limit in time": asked,
        "records about approaching or leaving": f"{np.mean(related):.0%}",
        "m_tIoU of the best constant segment": f"{best:.3f} ({low:.2f} to {high:.2f} of the clip)",
    }.items():
        print(f"| {name} | {value} |")


def _length_share(records):
    return np.array(
        [
            (r["temporal_gt"]["end_fid"] - r["temporal_gt"]["begin_fid"])
            / (r["used_segment"]["end_fid"] + 1 - r["used_segment"]["begin_fid"])
            for r in records
        ]
    )


def _mean_overlap(begin, end, low, high):
    shared = np.maximum(np.minimum(end, high) - np.maximum(begin, low), 0)
    return float((shared / (np.maximum(end, high) - np.minimum(begin, low))).mean())


def print_independence(split: str, annotations: make_shapes.LongAnnotations) -> None:
    """Prints the information of words about tubes, and about being absent."""
    texts = [
        [asked["description"] for asked in record["captions"] + record["questions"]]
        for record in annotations.records
    ]
    found = independence.largest_information(texts, np.array(annotations.properties))
    for name, one in zip(balance.PROPERTIES, found, strict=True):
        print(f"| {split}: {name} | {one.word} | {one.bits:.4f} | {one.chance:.4f} |")
    pairs = [[one[name]] for name in ("description", "like") for one in annotations.absent]
    label = np.repeat([[1.0], [0.0]], len(annotations.absent), axis=0)
    (one,) = independence.largest_information(pairs, label)
    print(f"| {split}: absent or not | {one.word} | {one.bits:.4f} | {one.chance:.4f} |")


if __name__ == "__main__":
    program.run(main, define_flags)
