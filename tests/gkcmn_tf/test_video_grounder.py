"""The API with the model and the samples in the package."""

import json
import math
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

import gkcmn_tf
from gkcmn_tf import encoded_video
from gkcmn_tf.evaluation.metrics import score_sentence, temporal_iou
from gkcmn_tf.features import extraction
from gkcmn_tf.tubes import GroundTruth
from gkcmn_tf.video.reading import VideoError

ROOT = pathlib.Path(__file__).parents[2]
# Rounded channel means of a sample's features, written by `write_reference_features`.
REFERENCE = pathlib.Path(__file__).with_name("sample_features.json")


@pytest.fixture(scope="module")
def grounder():
    return gkcmn_tf.VideoGrounder.from_preset("gkcmn_shapes")


@pytest.fixture(scope="module")
def sample():
    return gkcmn_tf.samples()[1]


@pytest.fixture(scope="module")
def video(grounder, sample):
    return grounder.encode(sample.video, progress=False)


def ious(tube, true):
    """Returns `tIoU`, `vIoU` and `sIoU` of a tube."""
    frames = max(tube.end, true.end)
    truth = GroundTruth("a", "v", "declarative", 256, 256, 25.0, frames, 0, frames, true)
    return score_sentence(truth, tube, "all_frames")


def test_importing_the_package_does_not_import_tensorflow():
    code = (
        "import sys, gkcmn_tf; assert set(gkcmn_tf.__all__) <= set(dir(gkcmn_tf)); "
        "gkcmn_tf.presets(), gkcmn_tf.samples(), gkcmn_tf.Tube, gkcmn_tf.metrics; "
        "assert not {'tensorflow', 'keras', 'av'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_every_public_name_can_be_imported():
    for name in gkcmn_tf.__all__:
        assert getattr(gkcmn_tf, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'VideoGruonder'"):
        _ = gkcmn_tf.VideoGruonder


def test_the_packaged_model_is_better_on_the_samples_than_the_whole_clip(grounder):
    found, whole = [], []
    for sample in gkcmn_tf.samples():
        video = grounder.encode(sample.video, progress=False)
        tubes = grounder.ground(video, list(sample.sentences))
        frames = video.source.timeline.frame_count
        for tube, true in zip(tubes, sample.true_tubes, strict=True):
            assert tube.sentence == true.sentence and tube.video is video.source
            found.append(list(ious(tube, true).values())[:2])
            whole.append(temporal_iou((0, frames), (true.begin, true.end)))
    (tiou, viou) = np.mean(found, axis=0)
    assert tiou > np.mean(whole) + 0.1 and viou > 0.2


def test_a_list_of_sentences_gives_the_same_tubes_as_single_ones(grounder, video, sample):
    sentences = list(sample.sentences)
    together = grounder.ground(video, sentences)
    for sentence, tube in zip(sentences, together, strict=True):
        alone = grounder.ground(video, sentence)
        assert (alone.begin, alone.end, alone.sentence) == (tube.begin, tube.end, sentence)
        np.testing.assert_allclose(alone.boxes, tube.boxes, atol=1)
    assert grounder.ground(video, []) == []


def test_a_path_is_encoded_before_grounding(grounder, video, sample):
    tube = grounder.ground(sample.video, sample.sentences[0])
    assert tube.to_json() == grounder.ground(video, sample.sentences[0]).to_json()
    assert tube.begin_seconds == pytest.approx(tube.begin / 25)


def test_several_tubes_differ_in_time_and_are_sorted_by_score(grounder, video, sample):
    tubes = grounder.ground(video, sample.sentences[0], top_k=4)
    assert tubes[0].to_json() == grounder.ground(video, sample.sentences[0]).to_json()
    assert [t.score for t in tubes] == sorted((t.score for t in tubes), reverse=True)
    for i, a in enumerate(tubes):
        for b in tubes[:i]:
            assert temporal_iou((a.begin, a.end), (b.begin, b.end)) <= 0.5


def test_a_score_below_the_threshold_gives_no_tube(grounder, video, sample):
    (best, second) = grounder.ground(video, sample.sentences[0], top_k=2)
    between = (best.score + second.score) / 2
    assert grounder.ground(video, sample.sentences[0], threshold=1.0) is None
    assert grounder.ground(video, list(sample.sentences), threshold=1.0) == [None] * 4
    kept = grounder.ground(video, sample.sentences[0], threshold=between, top_k=2)
    assert [t.score for t in kept] == [best.score]


def test_the_search_can_be_limited_to_a_part_of_the_video(grounder, video, sample):
    tube = grounder.ground(video, sample.sentences[0], begin=0.4, end=1.2)
    assert 10 <= tube.begin < tube.end <= 30


def test_errors_for_bad_arguments_name_them(grounder, video, sample, tmp_path):
    with pytest.raises(ValueError, match="contains no word"):
        grounder.ground(video, " ... ")
    with pytest.raises(ValueError, match="top_k: expected at least 1, got 0"):
        grounder.ground(video, sample.sentences[0], top_k=0)
    for threshold in (math.nan, -0.1, 1.1):
        with pytest.raises(ValueError, match="threshold: expected a score from 0 to 1, got "):
            grounder.ground(video, sample.sentences[0], threshold=threshold)
    with pytest.raises(ValueError, match="within the video's"):
        grounder.ground(video, sample.sentences[0], begin=1, end=7)
    with pytest.raises(FileNotFoundError, match=r"none\.mp4: no such video"):
        grounder.encode(tmp_path / "none.mp4")
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(VideoError, match=r"text\.mp4: cannot be opened"):
        grounder.encode(tmp_path / "text.mp4")


def test_unknown_and_surplus_words_cause_warnings(grounder, video, caplog):
    grounder.ground(video, "the red flurble " + 20 * "moves ")
    assert "words that the model was not trained on: flurble" in caplog.text
    assert "has 23 words; the model reads the first 20" in caplog.text


def test_a_video_encoded_for_another_model_is_refused(grounder, video, sample):
    other = gkcmn_tf.EncodedVideo(
        video.features, video.source, video.fingerprint | {"i3d_sha256": "0"}
    )
    with pytest.raises(ValueError, match="encoded for another model, with another i3d_sha256"):
        grounder.ground(other, sample.sentences[0])


def test_a_cached_video_is_not_encoded_again(grounder, video, sample, tmp_path, monkeypatch):
    clip = tmp_path / "clip.mp4"
    shutil.copy(sample.video, clip)
    first = grounder.encode(clip, cache_dir=tmp_path / "cache", progress=False)
    calls = []
    extract = extraction.FeatureExtractor.extract
    monkeypatch.setattr(
        extraction.FeatureExtractor,
        "extract",
        lambda *args, **kwargs: calls.append(args[1]) or extract(*args, **kwargs),
    )
    # The same content under another name is the same video.
    moved = tmp_path / "moved.mp4"
    clip.rename(moved)
    again = grounder.encode(moved, cache_dir=tmp_path / "cache", progress=False)
    assert not calls and again.source.path == str(moved)
    np.testing.assert_array_equal(again.features, first.features)
    # Different content under the same name is a different video.
    shutil.copy(gkcmn_tf.samples()[2].video, moved)
    other = grounder.encode(moved, cache_dir=tmp_path / "cache", progress=False)
    assert calls == [str(moved)] and not np.array_equal(other.features, first.features)


def test_a_damaged_file_of_the_cache_is_written_again(grounder, video, sample, tmp_path, caplog):
    cached = encoded_video.cache_path(tmp_path, sample.video, grounder.features)
    pathlib.Path(cached).write_bytes(b"")
    again = grounder.encode(sample.video, cache_dir=tmp_path, progress=False)
    np.testing.assert_array_equal(again.features, video.features)
    assert f"{cached}: not an encoded video" in caplog.text
    loaded = gkcmn_tf.EncodedVideo.load(cached)
    np.testing.assert_array_equal(loaded.features, video.features)


def test_random_i3d_weights_are_the_same_on_every_machine(grounder, sample, video):
    """The I3D of the packaged model is generated from a seed, so its features must be portable."""
    assert grounder.extractor.fingerprint["i3d_sha256"] == grounder.features["i3d_sha256"]
    expected = np.array(json.loads(REFERENCE.read_text()))
    means = video.features.astype(np.float32).mean(axis=(0, 1, 2))
    # bfloat16 has 8 significant bits, and processors add up in different orders.
    np.testing.assert_allclose(means, expected, atol=0.02 * expected.max())


def test_a_grounder_saved_as_a_preset_gives_the_same_results(grounder, video, sample, tmp_path):
    grounder.save_to_preset(tmp_path / "copy", weights="float32")
    copy = gkcmn_tf.VideoGrounder.from_preset(tmp_path / "copy")
    sentence = sample.sentences[0]
    assert copy.ground(video, sentence).to_json() == grounder.ground(video, sentence).to_json()
