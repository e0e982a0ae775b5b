"""Each blind option withholds what it says and nothing else."""

import collections
import shutil

import numpy as np
import pytest
import tensorflow as tf

from gkcmn_tf.config import DataConfig
from gkcmn_tf.features import feature_records
from gkcmn_tf.records import blinding, clip_records, input_pipeline
from gkcmn_tf.records.clip_records import Clip, Sentence
from gkcmn_tf.text.tokenization import Tokenizer
from gkcmn_tf.video.windows import count_windows

T, N, S, C = 8, 3, 2, 3
# A whole number of steps, fewer steps than T, more steps than T (subsampled), and two clips of `c`.
CLIPS = (("a", 0, 32), ("b", 0, 19), ("c", 0, 90), ("c", 20, 61))
FRAMES = {"a": 32, "b": 19, "c": 90}
WORDS = [f"word{i}" for i in range(9)]
TOKENIZER = Tokenizer(WORDS, N)


def make_clips(texts=WORDS):
    """Clips with 1, 2, 3 and 3 sentences, each of one word of its own."""
    made, index = [], 0
    for number, (vid, begin, end) in enumerate(CLIPS):
        sentences = []
        for _ in range(min(number + 1, 3)):
            boxes = np.tile(np.float32([index, 2, 40, 30]), (5, 1))
            first = begin + index
            sentences.append(
                Sentence(
                    index, f"s{index}", texts[index], "declarative", 0, first, first + 5, boxes
                )
            )
            index += 1
        made.append(Clip(vid, begin, end, 25.0, 64, 48, FRAMES[vid], tuple(sentences)))
    return made


def write(folder, seed=0, texts=WORDS):
    rng = np.random.default_rng(seed)
    for vid, frames in FRAMES.items():
        features = rng.random((count_windows(frames), S, S, C)).astype("float16")
        feature_records.write_video_features(
            str(folder), feature_records.VideoFeatures(vid, 25.0, 64, 48, frames, features)
        )
    clip_records.write_clips(str(folder), "train", make_clips(texts), 1)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("records"))


def batches(folder, blind, count=None, batch_size=3, queries=1, split="train", **kwargs):
    config = DataConfig(
        records_dir=str(folder),
        max_steps=T,
        max_words=N,
        grid_size=S,
        feature_channels=C,
        queries_per_clip=queries,
        blind=blind,
    )
    dataset = input_pipeline.from_config(
        config,
        split,
        TOKENIZER,
        global_batch_size=batch_size,
        **{"training": False} | kwargs,
    )
    made = dataset if count is None else dataset.take(count)
    return [tf.nest.map_structure(lambda x: x.numpy(), batch) for batch in made]


def assert_same(first, second):
    tf.nest.map_structure(np.testing.assert_array_equal, first, second)


def examples(made):
    """Yields inputs and labels of each example but padding."""
    for batch in made:
        for row in np.flatnonzero(batch[1]["query_mask"].any(axis=1)):
            yield tf.nest.map_structure(lambda x, row=row: x[row], batch)


WITHHELD = {
    "none": None,
    "sentence_only": "features",
    "video_only": "tokens",
    "one_frame": "features",
    "shuffled_frames": "features",
}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("blind", blinding.BLIND)
def test_nothing_else_changes(blind, training, folder):
    whole = batches(folder, "none", 6, training=training, seed=3)
    found = batches(folder, blind, 6, training=training, seed=3)
    for (inputs, labels), (blind_inputs, blind_labels) in zip(whole, found, strict=True):
        assert_same(labels, blind_labels)
        for name, value in inputs.items():
            assert (value.dtype, value.shape) == (
                blind_inputs[name].dtype,
                blind_inputs[name].shape,
            )
            equal = np.array_equal(value, blind_inputs[name])
            assert equal == (name != WITHHELD[blind])


def test_sentence_only_is_the_same_for_other_videos(folder, tmp_path):
    write(tmp_path, seed=9)
    assert_same(batches(folder, "sentence_only"), batches(tmp_path, "sentence_only"))
    for inputs, _ in batches(folder, "sentence_only"):
        assert not inputs["features"].any()


@pytest.mark.parametrize("queries", [1, 2])
def test_video_only_is_the_same_for_other_sentences_about_the_video(queries, folder, tmp_path):
    """Changes the sentences of one video: those about it stay, some of the others change."""
    changed = [*WORDS[:3], *reversed(WORDS[3:])]  # those of `c`
    write(tmp_path, texts=changed)
    firsts, others = (
        list(examples(batches(path, "video_only", 9, queries=queries, training=True)))
        for path in (folder, tmp_path)
    )
    same = {True: 0, False: 0}
    for (inputs, labels), (other, _) in zip(firsts, others, strict=True):
        of_c = labels["index"].max() >= 3
        np.testing.assert_array_equal(inputs["features"], other["features"])
        if of_c:
            np.testing.assert_array_equal(inputs["tokens"], other["tokens"])
        same[np.array_equal(inputs["tokens"], other["tokens"])] += 1
    assert same[False]


@pytest.mark.parametrize("training", [False, True])
def test_video_only_has_a_sentence_about_another_video(training, folder):
    clips = make_clips()
    videos = [clip.video_id for clip in clips for _ in clip.sentences]
    of_word = {TOKENIZER.vocabulary.index(w): vid for w, vid in zip(WORDS, videos, strict=True)}
    made = list(examples(batches(folder, "video_only", 9 if training else None, training=training)))
    assert len(made) == (27 if training else 9)
    for inputs, labels in made:
        token, *rest = inputs["tokens"][0]
        assert not any(rest)
        assert of_word[token] != videos[labels["index"][0]]


def test_one_frame_repeats_the_middle_step(folder):
    whole, found = (list(examples(batches(folder, blind))) for blind in ("none", "one_frame"))
    for (inputs, _), (blind, _) in zip(whole, found, strict=True):
        count = int(inputs["step_mask"].sum())
        for step in range(T):
            expected = inputs["features"][count // 2] if step < count else 0
            np.testing.assert_array_equal(blind["features"][step], expected)


@pytest.mark.parametrize("training", [False, True])
def test_shuffled_frames_keep_the_multiset_of_steps(training, folder):
    whole, found = (
        list(examples(batches(folder, blind, 6 if training else None, training=training)))
        for blind in ("none", "shuffled_frames")
    )
    moved = 0
    for (inputs, _), (blind, _) in zip(whole, found, strict=True):
        count = int(inputs["step_mask"].sum())
        steps = [sorted(map(bytes, x["features"][:count])) for x in (inputs, blind)]
        assert steps[0] == steps[1]
        assert not blind["features"][count:].any()
        moved += not np.array_equal(inputs["features"], blind["features"])
    assert moved > len(whole) / 2


@pytest.mark.parametrize("blind", ["video_only", "shuffled_frames"])
def test_random_inputs_change_between_epochs_but_not_when_a_run_is_resumed(blind, folder):
    kwargs = {"training": True, "batch_size": 1, "seed": 5}
    whole = batches(folder, blind, 27, **kwargs)
    assert_same(whole[9:], batches(folder, blind, 18, start_step=9, **kwargs))
    name = WITHHELD[blind]
    by_index = collections.defaultdict(list)
    for inputs, labels in whole:
        by_index[int(labels["index"][0, 0])].append(inputs[name].tobytes())
    assert len(by_index) == 9
    assert any(len(set(epochs)) > 1 for epochs in by_index.values())


@pytest.mark.parametrize("blind", ["video_only", "shuffled_frames"])
def test_evaluation_depends_on_neither_seed_nor_batch_size(blind, folder):
    first = list(examples(batches(folder, blind, seed=0)))
    assert_same(first, list(examples(batches(folder, blind, seed=1, batch_size=4))))


def test_other_sentences_are_drawn_uniformly_from_other_videos():
    videos = ["x", "y", "x", "z", "y"]
    others = blinding.OtherSentences(videos, [1, 2, 1, 3, 1])
    clips, places = others.draw(tf.constant(2, tf.int64), 6000, tf.constant([1, 2], tf.int64))
    counts = collections.Counter(clips.numpy().tolist())
    assert set(counts) == {1, 3, 4}
    # Expected are 2000 each; the standard deviation is 37.
    assert all(abs(count - 2000) < 5 * 37 for count in counts.values())
    assert {*places.numpy()[clips.numpy() == 3]} == {0, 1, 2}
    assert {*places.numpy()[clips.numpy() == 4]} == {0}


def test_a_single_video_has_no_other_sentences(folder, tmp_path):
    shutil.copytree(folder / "features", tmp_path / "features")
    clips = [clip for clip in make_clips() if clip.video_id == "c"]
    clip_records.write_clips(str(tmp_path), "train", clips, 1)
    with pytest.raises(ValueError, match="the split has only one, 'c'"):
        batches(tmp_path, "video_only")
