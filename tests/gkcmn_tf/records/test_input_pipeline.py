"""The pipeline compared with a loop over sentences, and its order."""

import dataclasses
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
from absl import logging

from gkcmn_tf import tubes
from gkcmn_tf.config import DataConfig
from gkcmn_tf.features import feature_records
from gkcmn_tf.records import clip_records, input_pipeline
from gkcmn_tf.text.standardization import split_words
from gkcmn_tf.text.tokenization import Tokenizer
from gkcmn_tf.video import steps
from gkcmn_tf.video.windows import count_windows

T, N, S, C = 6, 4, 2, 3
# Frames of each clip: shorter than T steps, equal, longer (subsampled), begin after 0.
CLIPS = (("a", 0, 14), ("b", 0, 24), ("c", 0, 95), ("c", 33, 60), ("d", 5, 6))
FRAMES = {"a": 14, "b": 24, "c": 95, "d": 9}
TEXTS = ("the dog runs.", "a cat", "", "what zebra runs past the dog there?")


@pytest.fixture(scope="module")
def clips():
    rng = np.random.default_rng(0)
    made, index = [], 0
    for vid, begin, end in CLIPS:
        sentences = []
        for k in range(1 + len(made) % 4):
            first = int(rng.integers(begin, end))
            last = int(rng.integers(first + 1, end + 1))
            corners = rng.uniform([0, 0], [70, 50], (last - first, 2, 2))  # also outside 64 x 48
            boxes = np.sort(corners, axis=1).reshape(-1, 4).astype("float32")
            sentences.append(
                clip_records.Sentence(
                    index, f"s{index}", TEXTS[k], tubes.QTYPES[k % 2], 0, first, last, boxes
                )
            )
            index += 1
        made.append(clip_records.Clip(vid, begin, end, 25.0, 64, 48, FRAMES[vid], tuple(sentences)))
    return made


@pytest.fixture(scope="module")
def videos():
    rng = np.random.default_rng(1)
    return {
        vid: rng.random((count_windows(n), S, S, C)).astype("float16") for vid, n in FRAMES.items()
    }


@pytest.fixture(scope="module")
def folder(clips, videos, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("records"))
    for vid, features in videos.items():
        feature_records.write_video_features(
            folder, feature_records.VideoFeatures(vid, 25.0, 64, 48, FRAMES[vid], features)
        )
    clip_records.write_clips(folder, "train", clips, 2)
    return folder


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer(["the", "dog", "runs", "a", "cat", "what"], N)


def batches(
    folder, tokenizer, count=None, queries=1, batch_size=4, split="train", augmented=None, **kwargs
):
    config = DataConfig(
        records_dir=folder,
        max_steps=T,
        max_words=N,
        grid_size=S,
        feature_channels=C,
        queries_per_clip=queries,
        **augmented or {},
    )
    kwargs = {"training": False} | kwargs
    dataset = input_pipeline.from_config(
        config, split, tokenizer, global_batch_size=batch_size, **kwargs
    )
    return [
        tf.nest.map_structure(lambda x: x.numpy(), batch)
        for batch in (dataset if count is None else dataset.take(count))
    ]


def naive_example(clip, sentence, videos, tokenizer):
    """Returns the expected batch entry of a sentence, computed by loops over steps."""
    frames = clip.end - clip.begin
    num_steps = min(-(-frames // 4), T)
    expected = {
        "features": np.zeros((T, S, S, C), "float16"),
        "step_mask": np.zeros(T, bool),
        "boxes": np.zeros((T, 4), "float32"),
        "box_mask": np.zeros(T, bool),
        "tokens": np.zeros(N, "int32"),
    }
    for s in range(num_steps):
        frame = int(clip.begin + (s + 0.5) * frames / num_steps)
        expected["features"][s] = videos[clip.video_id][frame // 4]
        expected["step_mask"][s] = True
        if sentence.begin <= frame < sentence.end:
            box = sentence.boxes[frame - sentence.begin] / [64, 48, 64, 48]
            expected["boxes"][s] = np.clip(box, 0, 1)
            expected["box_mask"][s] = True
    for n, word in enumerate(split_words([sentence.text])[0][:N]):
        known = tokenizer.vocabulary
        expected["tokens"][n] = known.index(word) if word in known else 1
    ends = np.array([sentence.begin, sentence.end])
    expected["segment"] = (ends - clip.begin) * num_steps / frames
    return expected


@pytest.mark.parametrize("queries", [1, 2, 3])
def test_every_field_equals_the_naive_reference(queries, folder, clips, videos, tokenizer):
    # In shard order.
    sentences = [(c, s) for shard in (clips[::2], clips[1::2]) for c in shard for s in c.sentences]
    seen = []
    for inputs, labels in batches(folder, tokenizer, queries=queries):
        for row, query in np.argwhere(labels["query_mask"]):
            clip, sentence = sentences[labels["index"][row, query]]
            expected = naive_example(clip, sentence, videos, tokenizer)
            for name in ("features", "step_mask"):
                np.testing.assert_array_equal(inputs[name][row], expected[name])
            np.testing.assert_array_equal(inputs["tokens"][row, query], expected["tokens"])
            for name in ("boxes", "box_mask", "segment"):
                np.testing.assert_allclose(labels[name][row, query], expected[name], atol=1e-6)
            seen.append(sentence.id)
    assert seen == [sentence.id for _, sentence in sentences]  # each one once


def equal(found, expected):
    return all(np.allclose(found[name], expected[name], atol=1e-6) for name in expected)


def test_a_temporal_crop_is_a_shorter_clip_around_the_tube(folder, videos, tokenizer):
    clips = clip_records.read_clips(folder, "train")
    sentences = [(clip, sentence) for clip in clips for sentence in clip.sentences]
    cropped = 0
    for inputs, labels in batches(
        *(folder, tokenizer, 8), augmented={"temporal_crop": 1.0}, training=True, seed=3
    ):
        for row, (index,) in enumerate(labels["index"]):
            clip, sentence = sentences[index]
            found = {name: inputs[name][row] for name in ("features", "step_mask")}
            found |= {name: labels[name][row, 0] for name in ("boxes", "box_mask")}
            found["tokens"] = inputs["tokens"][row, 0]
            uncut = naive_example(clip, sentence, videos, tokenizer)
            if equal(found, {name: uncut[name] for name in found}):
                continue
            cropped += 1
            windows = {
                (begin, end): steps.step_windows(begin, end, T)
                for begin in range(clip.begin, sentence.begin + 1)
                for end in range(sentence.end, clip.end + 1)
            }
            # Features are random, so they tell which windows were read.
            read = [
                int((videos[clip.video_id] == step).all(axis=(1, 2, 3)).argmax())
                for step in inputs["features"][row][inputs["step_mask"][row]]
            ]
            spans = [span for span, of_span in windows.items() if of_span.tolist() == read]
            candidates = (
                naive_example(
                    dataclasses.replace(clip, begin=span[0], end=span[1]),
                    sentence,
                    videos,
                    tokenizer,
                )
                for span in spans
            )
            assert any(equal(found, {n: one[n] for n in found}) for one in candidates)
    assert cropped > 8


@pytest.mark.parametrize("queries", [1, 3])
def test_negative_sentences_are_about_other_videos_and_have_no_tube(queries, folder, tokenizer):
    tokens_of = {}
    for clip in clip_records.read_clips(folder, "train"):
        texts = [sentence.text for sentence in clip.sentences]
        tokens_of.setdefault(clip.video_id, set()).update(map(bytes, tokenizer(texts)))
    videos = [
        clip.video_id for clip in clip_records.read_clips(folder, "train") for _ in clip.sentences
    ]
    plain, mixed = (
        batches(*(folder, tokenizer, 30, queries), augmented=augmented, training=True, seed=5)
        for augmented in ({}, {"negative_share": 0.25})
    )
    places = negatives = 0
    for (_, before), (inputs, labels) in zip(plain, mixed, strict=True):
        assert labels["query_mask"].all()  # padding has become negatives
        replaced = labels["index"] < 0
        np.testing.assert_array_equal(labels["index"][~replaced], before["index"][~replaced])
        for name in ("boxes", "box_mask", "segment"):
            assert not labels[name][replaced].any()
            np.testing.assert_array_equal(labels[name][~replaced], before[name][~replaced])
        for row in range(len(replaced)):
            (video,) = {videos[i] for i in before["index"][row] if i >= 0}
            others = set().union(*(tokens_of[name] for name in tokens_of if name != video))
            assert {bytes(tokens) for tokens in inputs["tokens"][row][replaced[row]]} <= others
        real = before["query_mask"]
        places, negatives = places + real.sum(), negatives + (replaced & real).sum()
    # Standard deviation of the share: at most sqrt(.25 * .75 / 120) = .04.
    assert abs(negatives / places - 0.25) < 0.16


@pytest.mark.parametrize("queries", [1, 3])
def test_splices_replace_steps_beside_the_tubes_by_another_video(
    queries, folder, videos, tokenizer
):
    clips = list(clip_records.read_clips(folder, "train"))
    video_of = [clip.video_id for clip in clips for _ in clip.sentences]
    plain, spliced, half = (
        batches(folder, tokenizer, 30, queries, augmented=augmented, training=True, seed=5)
        for augmented in ({}, {"splice_share": 1.0}, {"splice_share": 0.5})
    )
    changed, places = np.zeros(2, int), set()
    for (inputs, labels), (mixed, same), (some, _) in zip(plain, spliced, half, strict=True):
        tf.nest.map_structure(np.testing.assert_array_equal, labels, same)
        for name in ("step_mask", "tokens"):
            np.testing.assert_array_equal(inputs[name], mixed[name])
        for row, features in enumerate(mixed["features"]):
            other = (features != inputs["features"][row]).any(axis=(1, 2, 3))
            if not other.any():
                continue
            changed += 1, not np.array_equal(some["features"][row], inputs["features"][row])
            tube = labels["segment"][row][labels["query_mask"][row]]
            steps_of_tubes = np.arange(np.floor(tube.min()), np.ceil(tube.max())).astype(int)
            assert not other[steps_of_tubes].any()
            count = int(inputs["step_mask"][row].sum())
            replaced = np.flatnonzero(other)
            at_begin = replaced[0] == 0
            places.add(bool(at_begin))
            assert replaced.tolist() == [*range(replaced[0], replaced[-1] + 1)]
            assert at_begin or replaced[-1] == count - 1
            (video,) = {video_of[i] for i in labels["index"][row] if i >= 0}
            found = []
            for clip in clips:
                if clip.video_id == video:
                    continue
                windows = steps.step_windows(clip.begin, clip.end, T)
                order = np.arange(len(replaced)) + (len(windows) - len(replaced)) * at_begin
                taken = videos[clip.video_id][windows[np.clip(order, 0, len(windows) - 1)]]
                found.append(np.array_equal(taken, features[replaced]))
            assert any(found)
    assert places == {True, False}
    # Standard deviation of the share: at most .1, since at least 25 are changed.
    assert changed[0] >= 25 and abs(changed[1] / changed[0] - 0.5) < 0.3


def test_evaluation_has_neither_crops_nor_splices_nor_negative_sentences(folder, tokenizer):
    augmented = {"temporal_crop": 1.0, "negative_share": 0.5, "splice_share": 1.0}
    changed = batches(folder, tokenizer, augmented=augmented)
    for one, other in zip(changed, batches(folder, tokenizer), strict=True):
        tf.nest.map_structure(np.testing.assert_array_equal, one, other)


def test_sentences_of_several_splits_have_different_indices(folder, clips, tokenizer):
    total = sum(len(clip.sentences) for clip in clips)
    made = batches(folder, tokenizer, batch_size=1, split="train+train")
    assert [int(labels["index"][0, 0]) for _, labels in made] == list(range(2 * total))
    for (inputs, _), (again, _) in zip(made[:total], made[total:], strict=True):
        np.testing.assert_array_equal(inputs["tokens"], again["tokens"])


def test_absent_sentences_are_evaluated_but_not_trained_on(folder, clips, tokenizer, tmp_path):
    absent = [
        dataclasses.replace(
            clip,
            sentences=tuple(
                dataclasses.replace(s, begin=0, end=0, boxes=np.zeros((0, 4), "float32"))
                for s in clip.sentences
            ),
        )
        for clip in clips
    ]
    clip_records.write_clips(str(tmp_path), "train", clips, 1)
    clip_records.write_clips(str(tmp_path), "train_absent", absent, 1)
    shutil.copytree(f"{folder}/features", tmp_path / "features")
    present = batches(str(tmp_path), tokenizer, queries=2)
    made = batches(str(tmp_path), tokenizer, queries=2, split="train_absent")
    for (inputs, labels), (others, without) in zip(present, made, strict=True):
        for name, value in inputs.items():
            np.testing.assert_array_equal(value, others[name])
        np.testing.assert_array_equal(labels["index"], without["index"])
        assert not without["box_mask"].any()
    with pytest.raises(ValueError, match="'train_absent' has only absent sentences"):
        batches(str(tmp_path), tokenizer, 1, split="train_absent", training=True)
    both = batches(
        str(tmp_path), tokenizer, 22, batch_size=1, split="train+train_absent", training=True
    )
    segments = np.concatenate([labels["segment"][0] for _, labels in both])
    # In an epoch, each of the 11 sentences and its absent twin occur once.
    assert (segments[:, 0] < segments[:, 1]).sum() == 11


def test_filler_queries(folder, clips, tokenizer):
    all_batches = batches(folder, tokenizer, queries=3, batch_size=4)
    total = sum(len(clip.sentences) for clip in clips)
    assert sum(labels["query_mask"].sum() for _, labels in all_batches) == total
    for inputs, labels in all_batches:
        filler = ~labels["query_mask"]
        assert (labels["index"][filler] == -1).all()
        assert not labels["box_mask"][filler].any()
        assert not inputs["tokens"][filler].any()
    inputs, labels = all_batches[-1]
    assert not labels["query_mask"][-1].any()
    assert not inputs["step_mask"][-1].any()
    assert not inputs["features"][-1].any()


def indices(made):
    return [labels["index"].ravel().tolist() for _, labels in made]


def test_training_order(folder, clips, tokenizer):
    total = sum(len(clip.sentences) for clip in clips)
    one = indices(batches(folder, tokenizer, total, batch_size=1, training=True, seed=3))
    two = indices(
        batches(folder, tokenizer, total, batch_size=1, training=True, seed=3, start_step=total)
    )
    other = indices(batches(folder, tokenizer, total, batch_size=1, training=True, seed=4))
    for epoch in (one, two, other):
        assert sorted(index for (index,) in epoch) == list(range(total))
    assert one != two
    assert one != other


def test_labels_contain_only_fields_that_the_model_or_evaluation_reads(folder, tokenizer):
    for training in (True, False):
        _, labels = batches(folder, tokenizer, 1, training=training)[0]
        assert set(labels) == {"boxes", "box_mask", "segment", "query_mask", "index"}


@pytest.mark.parametrize("queries", [1, 2])
def test_any_number_of_workers_reads_the_same_indices_from_any_start(queries, folder, tokenizer):
    """Compares each index, for workers and starts in the middle of an epoch."""
    kwargs = {"queries": queries, "training": True, "seed": 7}
    whole = batches(folder, tokenizer, 40, batch_size=1, **kwargs)
    for workers, start in ((1, 3), (2, 1), (4, 2)):
        for worker in range(workers):
            context = tf.distribute.InputContext(workers, worker, num_replicas_in_sync=workers)
            made = batches(
                folder,
                tokenizer,
                5,
                batch_size=4,
                start_step=start,
                input_context=context,
                **kwargs,
            )
            share = 4 // workers
            for step, batch in enumerate(made):
                first = (start + step) * 4 + worker * share
                for row in range(share):
                    expected = tf.nest.map_structure(lambda x: x[0], whole[first + row])
                    found = tf.nest.map_structure(lambda x, row=row: x[row], batch)
                    tf.nest.map_structure(np.testing.assert_array_equal, found, expected)


def test_a_batch_larger_than_the_data_repeats_it(folder, clips, tokenizer, tmp_path, caplog):
    clip_records.write_clips(str(tmp_path), "train", clips[:1], 1)
    shutil.copytree(f"{folder}/features", tmp_path / "features")
    logging.get_absl_logger().addHandler(caplog.handler)
    made = indices(batches(str(tmp_path), tokenizer, 3, batch_size=4, training=True))
    logging.get_absl_logger().removeHandler(caplog.handler)
    assert made == [[0] * 4] * 3
    assert "has 1 example(s), fewer than train.global_batch_size=4" in caplog.text
    assert indices(batches(str(tmp_path), tokenizer, batch_size=4)) == [[0, -1, -1, -1]]


@pytest.mark.parametrize("queries", [1, 2])
def test_resuming_yields_the_same_batches(queries, folder, tokenizer):
    kwargs = {"queries": queries, "training": True, "seed": 1}
    whole = batches(folder, tokenizer, 9, **kwargs)
    rest = batches(folder, tokenizer, 4, start_step=5, **kwargs)
    for before, after in zip(whole[5:], rest, strict=True):
        tf.nest.map_structure(np.testing.assert_array_equal, before, after)


@pytest.mark.parametrize("training", [True, False])
def test_workers_and_replicas_split_the_same_global_batches(training, folder, tokenizer):
    whole = indices(batches(folder, tokenizer, 3, training=training))
    shares = []
    for worker in range(2):
        context = tf.distribute.InputContext(2, worker, num_replicas_in_sync=4)
        made = indices(batches(folder, tokenizer, 6, training=training, input_context=context))
        # Two replicas per worker: its share of a global batch is two batches of one.
        shares.append([made[i] + made[i + 1] for i in range(0, 6, 2)])
    assert [a + b for a, b in zip(*shares, strict=True)] == whole


def test_the_batch_size_must_be_divisible_by_the_replicas(folder, tokenizer):
    context = tf.distribute.InputContext(1, 0, num_replicas_in_sync=3)
    with pytest.raises(ValueError, match="4 is not a multiple of the 3 replicas"):
        batches(folder, tokenizer, input_context=context)


def test_the_error_for_missing_files_names_them(folder, clips, tokenizer, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"run data.prepare"):
        batches(str(tmp_path), tokenizer)
    clip_records.write_clips(str(tmp_path), "train", clips, 1)
    with pytest.raises(tf.errors.NotFoundError, match=r"features/a.tfrecord"):
        batches(str(tmp_path), tokenizer)


def test_the_error_for_features_that_end_before_the_clip_names_them(
    clips, videos, tokenizer, tmp_path
):
    short = feature_records.VideoFeatures("b", 25.0, 64, 48, 20, videos["b"][:5])
    feature_records.write_video_features(str(tmp_path), short)
    clip_records.write_clips(str(tmp_path), "train", clips[1:2], 1)
    with (
        pytest.raises(ValueError, match=r"features/b\.tfrecord: has 5 windows, too few for a clip"),
        input_pipeline.damage_named(str(tmp_path)),
    ):
        batches(str(tmp_path), tokenizer)


@pytest.mark.parametrize("damage", ["row", "cut", "empty"])
def test_damaged_features_are_named(damage, clips, videos, tokenizer, tmp_path):
    for vid in "ab":
        video = feature_records.VideoFeatures(vid, 25.0, 64, 48, FRAMES[vid], videos[vid])
        path = pathlib.Path(feature_records.write_video_features(str(tmp_path), video))
    clip_records.write_clips(str(tmp_path), "train", clips[:2], 1)
    assert len(batches(str(tmp_path), tokenizer)) == 1
    content = bytearray(path.read_bytes())
    content[-30] ^= 1
    damaged = {"row": content, "cut": content[:-100], "empty": b""}
    path.write_bytes(damaged[damage])
    with (
        pytest.raises(ValueError, match=r"features/b\.tfrecord: is damaged; delete it and run"),
        input_pipeline.damage_named(str(tmp_path)),
    ):
        batches(str(tmp_path), tokenizer)


def test_a_split_without_sentences_is_an_error(tokenizer, tmp_path):
    clip_records.write_clips(str(tmp_path), "train", [], 2)
    with pytest.raises(ValueError, match="split 'train' has no sentences"):
        batches(str(tmp_path), tokenizer)


def test_groups_of_queries_change_between_epochs(folder, clips, tokenizer):
    groups = sum(-(-len(clip.sentences) // 2) for clip in clips)
    total = sum(len(clip.sentences) for clip in clips)
    made = indices(
        batches(folder, tokenizer, 4 * groups, queries=2, batch_size=1, training=True, seed=0)
    )
    epochs = [made[i : i + groups] for i in range(0, 4 * groups, groups)]
    for epoch in epochs:
        assert sorted(i for group in epoch for i in group if i >= 0) == list(range(total))
    assert len({frozenset(map(frozenset, epoch)) for epoch in epochs}) > 1


def test_shapes_are_static(folder, tokenizer):
    config = DataConfig(
        records_dir=folder, max_steps=T, max_words=N, grid_size=S, feature_channels=C
    )
    for training in (True, False):
        dataset = input_pipeline.from_config(
            config, "train", tokenizer, global_batch_size=4, training=training
        )
        inputs, labels = dataset.element_spec
        assert inputs["features"] == tf.TensorSpec([4, T, S, S, C], tf.float16)
        assert labels["boxes"] == tf.TensorSpec([4, 1, T, 4], tf.float32)
        assert all(spec.shape.is_fully_defined() for spec in (inputs | labels).values())


def test_clip_inputs_equal_the_batch(folder, clips, videos, tokenizer):
    """Inputs of `ground` equal those of training."""
    inputs, _ = batches(folder, tokenizer)[0]
    clip = clips[0]
    features, mask = input_pipeline.clip_inputs(videos[clip.video_id], clip.begin, clip.end, T)
    np.testing.assert_array_equal(features, inputs["features"][0])
    np.testing.assert_array_equal(mask, inputs["step_mask"][0])
