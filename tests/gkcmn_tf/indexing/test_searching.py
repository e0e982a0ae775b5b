"""Search in an index finds what `VideoGrounder.ground` finds in each video."""

import dataclasses
import os
import shutil

import numpy as np
import pytest

import gkcmn_tf
from gkcmn_tf.indexing import searching, video_index
from gkcmn_tf.indexing.video_index import IndexedVideo, IndexModel, VideoIndex
from gkcmn_tf.modeling import decoding
from gkcmn_tf.tubes import nearest_frames
from gkcmn_tf.video import writing
from gkcmn_tf.video.frame_rates import Timeline
from gkcmn_tf.video.reading import decode_frames

SAMPLES = gkcmn_tf.samples()
SENTENCES = [SAMPLES[0].sentences[0], SAMPLES[4].sentences[1], SAMPLES[1].sentences[0]]


@pytest.fixture(scope="module")
def grounder():
    return gkcmn_tf.VideoGrounder.from_preset("gkcmn_shapes")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three samples, and a video that is searched in five overlapping clips."""
    folder = tmp_path_factory.mktemp("videos")
    (folder / "long").mkdir()
    for sample in SAMPLES[:3]:
        shutil.copy(sample.video, folder)
    parts = [list(decode_frames(sample.video, 64)) for sample in SAMPLES[3:]]
    writing.write_video(str(folder / "long" / "joined.mp4"), np.concatenate(parts), 25)
    return folder


@pytest.fixture(scope="module")
def index(grounder, folder):
    return grounder.index(folder, progress=False)


@pytest.fixture(scope="module")
def grounded(grounder, folder, index):
    """For each sentence, the tubes of all videos, each grounded by itself, best first."""
    tubes = [[] for _ in SENTENCES]
    for video in index.videos:
        encoded = grounder.encode(index.path(video), progress=False)
        found = grounder.ground(encoded, SENTENCES, top_k=6)
        for number, of_sentence in enumerate(found):
            tubes[number] += of_sentence
    return [sorted(found, key=lambda tube: -tube.score) for found in tubes]


def assert_same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.video.path == other.video.path
        assert (one.begin, one.end, one.clip) == (other.begin, other.end, other.clip)
        assert one.sentence == other.sentence
        assert one.score == pytest.approx(other.score, abs=1e-3)
        np.testing.assert_allclose(one.boxes, other.boxes, atol=0.5)
        assert one.begin_seconds == other.begin_seconds and one.end_seconds == other.end_seconds


def test_the_best_tubes_are_those_of_ground_in_each_video(grounder, index, grounded):
    assert index.num_clips == 8
    found = grounder.search(index, SENTENCES, top_k=6)
    for tubes, expected in zip(found, grounded, strict=True):
        assert_same(tubes, expected[:6])
    assert len({tube.video.path for tubes in found for tube in tubes}) > 2


def test_one_sentence_gives_one_list(grounder, index, folder, grounded):
    assert_same(grounder.search(folder, SENTENCES[0], top_k=2), grounded[0][:2])
    assert_same(grounder.search(folder / ".gkcmn", SENTENCES[0]), grounded[0][:5])
    assert grounder.search(index, []) == []


def test_batches_of_any_size_give_the_same(grounder, index, monkeypatch):
    together = grounder.search(index, SENTENCES, top_k=6)
    monkeypatch.setattr(searching, "STEPS_PER_BATCH", 1)  # one clip a batch
    for sentence, tubes in zip(SENTENCES, together, strict=True):
        assert_same(grounder.search(index, sentence, top_k=6), tubes)


def test_an_index_of_another_preset_is_refused_by_name(grounder, index, tmp_path):
    grounder.save_to_preset(tmp_path / "other", weights="float32")
    same = gkcmn_tf.VideoGrounder.from_preset(tmp_path / "other")
    assert same.index_model.differences(index.model) == []
    kernel = grounder.model.weights[0]
    before = kernel.numpy()
    try:
        kernel.assign(before + 1)
        changed = gkcmn_tf.VideoGrounder(
            *(grounder.model, grounder.tokenizer, grounder.features),
            max_steps=grounder.max_steps,
            about=grounder.about | {"name": "changed"},
        )
        message = r"was made with preset gkcmn_shapes, not with changed \(other weights_sha256\)"
        with pytest.raises(ValueError, match=message):
            changed.search(index, SENTENCES[0])
    finally:
        kernel.assign(before)


def test_bad_arguments_are_told(grounder, index, caplog):
    with pytest.raises(ValueError, match="contains no word"):
        grounder.search(index, "...")
    with pytest.raises(ValueError, match="top_k: expected at least 1, got 0"):
        grounder.search(index, SENTENCES[0], top_k=0)
    grounder.search(index, "the red flurble", top_k=1)
    assert "words that the model was not trained on: flurble" in caplog.text


def test_an_empty_folder_has_no_tubes(grounder, tmp_path):
    index = grounder.index(tmp_path, progress=False)
    assert len(index.videos) == 0 and grounder.search(index, SENTENCES[:2]) == [[], []]


def test_windows_of_another_dtype_are_refused(grounder, index, folder, tmp_path):
    copy = tmp_path / "index"
    shutil.copytree(folder / ".gkcmn", copy)
    damaged = dataclasses.replace(index, index_dir=str(copy))
    path = video_index.windows_path(str(copy), index.videos[0].key)
    np.save(path, index.windows(index.videos[0]).astype(np.float32))
    with pytest.raises(ValueError, match=rf"{os.path.basename(path)}: expected uint16 numbers"):
        grounder.search(damaged, SENTENCES[0])


class RandomNetwork:
    """Scores that depend on the clip and the sentence only, as if a model had found them."""

    stored_dtype = np.dtype(np.float32)

    def __init__(self, seed, max_steps, segments_per_clip):
        self.seed, self.max_steps, self.count = seed, max_steps, segments_per_clip

    def score_clip(self, clip, token):
        rng = np.random.default_rng([self.seed, int(clip), int(token)])
        segments = np.sort(rng.random((self.count, 2)) * self.max_steps, axis=-1)
        # Rounded, so that some are equal, and some are invalid.
        return segments.astype(np.float32), rng.integers(-1, 6, self.count).astype(np.float32) / 6

    def score(self, windows, step_mask, tokens):
        ids = windows[:, 0, 0, 0, 0]
        found = [
            [self.score_clip(clip, sentence[0]) for sentence in of_clip]
            for clip, of_clip in zip(ids, tokens, strict=True)
        ]
        segments = np.array([[one[0] for one in of_clip] for of_clip in found])
        return segments, np.array([[one[1] for one in of_clip] for of_clip in found])

    def boxes(self, windows, step_mask, tokens):
        return np.zeros((*tokens.shape[:2], self.max_steps, 4), np.float32)


@pytest.mark.parametrize("seed", range(8))
def test_greedy_suppression_is_that_of_ground(seed, tmp_path, monkeypatch):
    """Compared with `decoding.distinct_segments` for each video, of which the best are taken."""
    rng = np.random.default_rng(seed)
    videos = []
    for number in range(6):
        count = int(rng.integers(1, 4))
        clips = np.array([[start, start + 16] for start in range(0, 8 * count, 8)])
        frames = int(clips[-1, 1])
        numbers = (f"v{number}.mp4", 1, 1, f"{number:032x}-{seed:016x}", 64, 64, 25.0)
        video = IndexedVideo(*numbers, frames / 25, frames, clips, clips)
        windows = np.arange(frames // 4, dtype=np.float32) + 100 * number
        timeline = Timeline(np.arange(frames) / 25, frames / 25)
        shaped = np.broadcast_to(windows[:, None, None, None], (len(windows), 1, 1, 2))
        video_index.write_windows(str(tmp_path), video, shaped, timeline)
        videos.append(video)
    model = IndexModel("random", "0", "float32", 4, None, {})
    index = VideoIndex(str(tmp_path), str(tmp_path), model, tuple(videos), {}, True)
    network = RandomNetwork(seed, 4, 9)
    monkeypatch.setattr(searching, "STEPS_PER_BATCH", int(rng.integers(1, 60)))
    tokens, top_k = np.array([[1], [2], [3]]), int(rng.integers(1, 12))
    found = searching.IndexSearch(index, network)(tokens, top_k)
    for (token,), tubes in zip(tokens, found, strict=True):
        expected = []
        for number, video in enumerate(videos):
            frames, scores = [], []
            for begin, end in video.samples.tolist():
                segments, of_clip = network.score_clip(100 * number + begin // 4, token)
                frames.append(nearest_frames(segments, begin, end, 4))
                scores.append(of_clip)
            chosen, best = decoding.distinct_segments(
                np.concatenate(frames).astype(np.float32),
                np.concatenate(scores),
                top_k,
                decoding.MAX_TUBE_IOU,
            )
            for (begin, end), score in zip(chosen.numpy(), best.numpy(), strict=True):
                if score >= 0:
                    expected.append((score, video.name, int(begin), int(end)))
        expected = sorted(expected, key=lambda one: (-one[0], one[1]))[:top_k]
        got = [
            (tube.score, os.path.basename(tube.video.path), tube.begin, tube.end) for tube in tubes
        ]
        assert [one[0] for one in got] == pytest.approx([one[0] for one in expected])
        # Of equal scores at the end of the list, either may be taken.
        last = got[-1][0] if got else 0
        assert {one[1:] for one in got if one[0] > last} == {
            one[1:] for one in expected if one[0] > last + 1e-6
        }
