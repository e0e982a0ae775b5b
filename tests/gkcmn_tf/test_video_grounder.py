"""The API with the model and the samples in the package."""

import itertools
import json
import math
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

import gkcmn_tf
from gkcmn_tf import searched_clips
from gkcmn_tf.evaluation.metrics import score_sentence, temporal_iou
from gkcmn_tf.features import extraction
from gkcmn_tf.modeling import decoding
from gkcmn_tf.tubes import GroundTruth
from gkcmn_tf.video import writing
from gkcmn_tf.video.reading import VideoError, decode_frames
from tests.gkcmn_tf.video import ffmpeg

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
        *(video.features, video.windows, video.source), video.fingerprint | {"i3d_sha256": "0"}
    )
    with pytest.raises(ValueError, match="encoded for another model, with another i3d_sha256"):
        grounder.ground(other, sample.sentences[0])


def test_a_cached_video_is_not_encoded_again(grounder, video, sample, tmp_path, monkeypatch):
    clip = tmp_path / "clip.mp4"
    shutil.copy(sample.video, clip)
    first = grounder.encode(clip, cache_dir=tmp_path / "cache", progress=False)
    calls = []
    encode = extraction.FeatureExtractor.encode
    monkeypatch.setattr(
        extraction.FeatureExtractor,
        "encode",
        lambda *args, **kwargs: calls.append(args[1]) or encode(*args, **kwargs),
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
    grounder.encode(sample.video, cache_dir=tmp_path, progress=False)
    (cached,) = tmp_path.iterdir()
    cached.write_bytes(b"")
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


@pytest.fixture(scope="module")
def joined(tmp_path_factory):
    """A video of 144 frames, of which clips of training have 48."""
    path = str(tmp_path_factory.mktemp("joined") / "v.mp4")
    parts = [list(decode_frames(sample.video, 64)) for sample in gkcmn_tf.samples()[:3]]
    writing.write_video(path, np.concatenate(parts), 25)
    return path


def test_a_long_video_is_searched_in_overlapping_clips(grounder, joined, sample):
    sentences = sample.sentences[:2]
    found = grounder.ground(joined, sentences, top_k=3)
    video = grounder.encode(joined, progress=False)
    longest = searched_clips.longest_training_clip(grounder.about)
    search = searched_clips.ClipSearch(grounder.max_steps, longest)
    clips = search.clips(video.source.timeline)
    assert len(clips) == 5
    for sentence, tubes in zip(sentences, found, strict=True):
        # The best of all clips, each searched by itself.
        single = []
        for clip in clips:
            begin, end = video.source.timeline.seconds(*clip)
            single += grounder.ground(
                video, sentence, begin=begin, end=end, search="whole", top_k=3
            )
        best = max(single, key=lambda tube: tube.score)
        assert (tubes[0].begin, tubes[0].end, tubes[0].clip) == (best.begin, best.end, best.clip)
        assert tubes[0].score == pytest.approx(best.score, abs=1e-3)
        np.testing.assert_allclose(tubes[0].boxes, best.boxes, atol=0.5)
        assert [tube.score for tube in tubes] == sorted(
            (tube.score for tube in tubes), reverse=True
        )
        for one, other in itertools.combinations(tubes, 2):
            overlap = max(min(one.end, other.end) - max(one.begin, other.begin), 0)
            union = one.end - one.begin + other.end - other.begin - overlap
            assert overlap / union <= decoding.MAX_TUBE_IOU


def test_of_a_long_video_only_the_windows_of_the_steps_are_encoded(grounder, joined, sample):
    whole = grounder.encode(joined, search="whole", progress=False)
    assert len(whole.windows) == grounder.max_steps < 36
    part = grounder.encode(joined, begin=1.0, end=1.5, progress=False)
    assert part.windows.tolist() == [6, 7, 8, 9]
    everything = grounder.extractor.extract(joined).as_stored().features
    np.testing.assert_array_equal(whole.features, everything[whole.windows])
    np.testing.assert_array_equal(part.features, everything[part.windows])
    tube = grounder.ground(part, sample.sentences[0], begin=1.0, end=1.5)
    assert 25 <= tube.begin < tube.end <= 38 and tube.clip == (25, 38)
    with pytest.raises(ValueError, match=r"the part from 0\.00 to 5\.76 s is not encoded"):
        grounder.ground(part, sample.sentences[0], search="whole")


def test_a_video_whose_packets_mislead_is_decoded_whole(grounder, tmp_path):
    path = tmp_path / "v.mp4"
    source = ("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=25:duration=4")
    refresh = ("-c:v", "libx264", "-x264-params", "intra-refresh=1:keyint=20")
    ffmpeg.run(*source, *refresh, path)
    video = grounder.encode(str(path), search="whole", progress=False)
    everything = grounder.extractor.extract(str(path)).as_stored().features
    np.testing.assert_array_equal(video.features, everything[video.windows])
