"""Features of whole videos, with a network that can be computed by hand."""

import json
import pickle
import weakref

import keras
import numpy as np
import pytest
from absl import logging

from gkcmn_tf.features import extraction
from gkcmn_tf.i3d import published_weights, weight_sources
from gkcmn_tf.video import reading, writing
from gkcmn_tf.video.windows import count_windows, window_frames
from tests.gkcmn_tf.video.pictures import write_timed

WEIGHTS = {"source": "mean", "sha256": "0" * 64}


def mean_network(time=8, scale=1.0):
    """Returns a network that averages `time` frames and 32x32 pixels: `[B, 8 // time, 7, 7, 3]`."""
    clips = keras.Input((None, None, None, 3))
    means = keras.layers.AveragePooling3D((time, 32, 32))(clips)
    return keras.Model(clips, keras.layers.Rescaling(scale)(means))


@pytest.fixture(scope="module")
def extractor():
    return extraction.FeatureExtractor(mean_network(), WEIGHTS, batch_size=3)


def write_noise(path, count):
    """Writes a video of `count` distinct frames."""
    frames = np.random.default_rng(count).integers(0, 256, (count, 6, 8, 1, 3), np.uint8)
    writing.write_video(
        str(path), [np.kron(frame[:, :, 0], np.ones((8, 8, 1), np.uint8)) for frame in frames], 25
    )
    return str(path)


def naive_features(path):
    frames = np.stack(list(reading.decode_frames(path))) / 127.5 - 1
    windows = frames[window_frames(len(frames))]
    cells = windows.reshape(len(windows), 8, 7, 32, 7, 32, 3)
    return cells.mean(axis=(1, 3, 5))


@pytest.mark.parametrize("num_frames", [1, 4, 13, 14, 40])
def test_features_equal_those_of_a_naive_reference(tmp_path, extractor, num_frames):
    path = write_noise(tmp_path / "v.mp4", num_frames)
    made = extractor.extract(path)
    assert made.features.dtype == np.float16
    assert made.features.shape == (count_windows(num_frames), 7, 7, 3)
    np.testing.assert_allclose(made.features, naive_features(path), atol=2e-3)
    assert (made.video_id, made.fps, made.width, made.height) == ("v", 25.0, 64, 48)
    assert made.frame_count == num_frames


def test_the_batch_size_does_not_change_the_features(tmp_path, extractor):
    path = write_noise(tmp_path / "v.mp4", 30)
    other = extraction.FeatureExtractor(mean_network(), WEIGHTS, batch_size=8)
    assert other.fingerprint == extractor.fingerprint
    np.testing.assert_allclose(
        other.extract(path).features, extractor.extract(path).features, atol=1e-3
    )


def test_the_same_video_gives_the_same_bytes(tmp_path, extractor):
    path = write_noise(tmp_path / "v.mp4", 30)
    first, second = extractor.extract(path, "a"), extractor.extract(path, "b")
    assert first.features.tobytes() == second.features.tobytes()
    assert (first.video_id, second.video_id) == ("a", "b")


def test_resampled_features_are_those_of_the_selected_frames(tmp_path, extractor):
    path = write_noise(tmp_path / "v.mp4", 60)
    resampling = extraction.FeatureExtractor(mean_network(), WEIGHTS, fps=5, batch_size=3)
    assert extraction.differences(extractor.fingerprint, resampling.fingerprint) == ["fps"]
    assert resampling.fingerprint["fps"] == 5
    made = resampling.extract(path)
    np.testing.assert_array_equal(made.timeline.source_frames, np.arange(0, 60, 5))
    assert (made.fps, made.frame_count, made.timeline.frame_count) == (5, 12, 60)
    frames = np.stack(list(reading.decode_frames(path)))[::5] / 127.5 - 1
    cells = frames[window_frames(12)].reshape(3, 8, 7, 32, 7, 32, 3)
    np.testing.assert_allclose(made.features, cells.mean(axis=(1, 3, 5)), atol=2e-3)


def test_every_frame_has_a_time(tmp_path, extractor):
    made = extractor.extract(write_noise(tmp_path / "v.mp4", 10))
    assert made.timeline.source_frames is None
    np.testing.assert_allclose(made.timeline.times, np.arange(10) / 25)
    assert made.timeline.end_time == 0.4


@pytest.mark.parametrize("fps", [None, 5, 60])
def test_memory_never_contains_a_whole_long_video(tmp_path, monkeypatch, fps):
    path = tmp_path / "v.mp4"
    frames = (np.full((16, 16, 3), number % 256, np.uint8) for number in range(1500))
    writing.write_video(str(path), frames, 25)
    alive = most = 0
    original = reading.FrameStream._convert

    def forget():
        nonlocal alive
        alive -= 1

    def convert(stream, frame):
        nonlocal alive, most
        array = original(stream, frame)
        alive += 1
        most = max(most, alive)
        weakref.finalize(array, forget)
        return array

    monkeypatch.setattr(reading.FrameStream, "_convert", convert)
    extractor = extraction.FeatureExtractor(mean_network(), WEIGHTS, fps=fps, batch_size=3)
    made = extractor.extract(str(path))
    assert made.frame_count == {None: 1500, 5: 300, 60: 3598}[fps]
    # A batch of 3 windows is 16 frames; the next batch is decoded while one is processed.
    assert most <= 2 * 16


def test_an_invalid_frame_rate_is_an_error():
    with pytest.raises(ValueError, match="fps: expected a frame rate above 0, got 0"):
        extraction.FeatureExtractor(mean_network(), WEIGHTS, fps=0)


def test_a_damaged_video_gives_the_features_of_its_decodable_frames(tmp_path, extractor, caplog):
    path = tmp_path / "v.mp4"
    write_noise(path, 60)
    path.write_bytes(path.read_bytes()[: int(0.6 * path.stat().st_size)])
    logging.get_absl_logger().addHandler(caplog.handler)
    made = extractor.extract(str(path))
    logging.get_absl_logger().removeHandler(caplog.handler)
    assert 10 < made.frame_count < 60
    assert len(made.features) == count_windows(made.frame_count)
    assert f"v.mp4: {made.frame_count} of 60 frames can be decoded" in caplog.text


def test_a_video_without_frames_is_an_error(tmp_path, extractor):
    (tmp_path / "v.mp4").write_bytes(b"nothing")
    with pytest.raises(reading.VideoError, match=r"v\.mp4: cannot be opened"):
        extractor.extract(str(tmp_path / "v.mp4"))


def test_features_outside_the_range_of_float16_are_an_error(tmp_path):
    path = write_noise(tmp_path / "v.mp4", 4)
    extractor = extraction.FeatureExtractor(mean_network(scale=1e9), WEIGHTS, batch_size=1)
    with pytest.raises(ValueError, match=r"v\.mp4: features are not finite in float16"):
        extractor.extract(path)


def test_a_network_with_several_time_steps_per_window_is_an_error():
    with pytest.raises(ValueError, match=r"gives \(3, 2, 7, 7, 3\) for a batch of windows"):
        extraction.FeatureExtractor(mean_network(time=4), WEIGHTS, batch_size=3)


def test_what_is_special_about_a_video_is_shown(extractor, tmp_path, caplog):
    path = tmp_path / "v.mp4"
    write_timed(path, 40 * np.arange(8), options={"x264-params": "transfer=smpte2084"})
    with caplog.at_level("WARNING", logger="absl"):
        extractor.extract(str(path))
    assert "v.mp4: is HDR (PQ) and decoded as if it were SDR" in caplog.text


def test_the_fingerprint_contains_all_settings_that_affect_the_features(extractor):
    assert json.loads(json.dumps(extractor.fingerprint)) == {
        "i3d_source": "mean",
        "i3d_sha256": "0" * 64,
        "endpoint": "Mixed_5c",
        "compute_dtype": "float32",
        "window_frames": 8,
        "window_stride": 4,
        "frame_size": 224,
        "resize": "swscale bilinear",
        "fps": None,
        "storage_dtype": "float16",
        "shape": [7, 7, 3],
    }


def test_the_fingerprint_of_a_source_needs_no_network_and_reads_its_weights_once(monkeypatch):
    factory = extraction.ExtractorFactory("random:3", fps=5, compute_dtype="bfloat16")
    read = []
    original = weight_sources.read_variables

    def count(source):
        read.append(source)
        return original(source)

    def no_network(*args, **kwargs):
        raise AssertionError("built a network")

    monkeypatch.setattr(weight_sources, "read_variables", count)
    monkeypatch.setattr(extraction, "i3d_from_variables", no_network)
    made = factory.fingerprint
    assert made["i3d_sha256"] == weight_sources.source_fingerprint("random:3")
    assert (made["i3d_source"], made["fps"], made["compute_dtype"]) == ("random:3", 5, "bfloat16")
    assert made["shape"] == [7, 7, 1024]
    with pytest.raises(AssertionError, match="built a network"):
        factory()
    assert read == ["random:3"] * 2  # the factory once, this test once
    copy = pickle.loads(pickle.dumps(factory))
    assert copy == factory
    assert len(pickle.dumps(factory)) < 1000


def test_a_network_with_another_shape_than_the_fingerprint_is_an_error(monkeypatch):
    monkeypatch.setattr(weight_sources, "read_variables", lambda source: {})
    monkeypatch.setattr(extraction, "i3d_from_variables", lambda *args, **kwargs: mean_network())
    with pytest.raises(ValueError, match=r"differ from its fingerprint in \['shape'\]"):
        extraction.ExtractorFactory("random:0")()


def test_fingerprints_are_compared_without_the_location_of_the_weights(extractor):
    before = extractor.fingerprint
    assert extraction.differences(before, before | {"i3d_source": "elsewhere"}) == []
    now = before | {"compute_dtype": "bfloat16", "i3d_sha256": "1" * 64, "new": 1}
    assert extraction.differences(before, now) == ["compute_dtype", "i3d_sha256", "new"]


def test_published_weights_are_found_by_name_if_their_source_is_missing(monkeypatch):
    read = []
    monkeypatch.setattr(weight_sources, "read_variables", lambda source: read.append(source) or {})
    monkeypatch.setattr(weight_sources, "fingerprint", lambda _: published_weights.FINGERPRINT)
    monkeypatch.setattr(extraction, "i3d_from_variables", lambda *args, **kwargs: mean_network())
    monkeypatch.setattr(extraction, "SHAPE", (7, 7, 3))
    trained = extraction.ExtractorFactory("no/such/file").fingerprint
    made = extraction.FeatureExtractor.from_fingerprint(trained)
    assert read == ["no/such/file", "kinetics400"]
    assert extraction.differences(trained, made.fingerprint) == []


def test_an_unknown_dtype_is_an_error():
    with pytest.raises(ValueError, match="expected one of float32, bfloat16; got 'float8'"):
        extraction.ExtractorFactory("random:0", compute_dtype="float8")
    with pytest.raises(ValueError, match=r"storage_dtype: expected one of .* got 'int4'"):
        extraction.ExtractorFactory("random:0", storage_dtype="int4")


@pytest.mark.slow
def test_i3d_in_both_dtypes_gives_nearly_the_same_features(tmp_path):
    path = write_noise(tmp_path / "v.mp4", 6)
    full, half = (
        extraction.FeatureExtractor.from_source("random:0", compute_dtype=dtype, batch_size=2)
        for dtype in extraction.COMPUTE_DTYPES
    )
    expected, found = full.extract(path).features, half.extract(path).features
    assert full.fingerprint["shape"] == [7, 7, 1024]
    assert expected.shape == (2, 7, 7, 1024)
    assert extraction.differences(full.fingerprint, half.fingerprint) == ["compute_dtype"]
    correlation = np.corrcoef(expected.ravel().astype(float), found.ravel().astype(float))[0, 1]
    assert correlation > 0.99
