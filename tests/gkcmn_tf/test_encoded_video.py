"""Encoded videos on disk."""

import dataclasses
import io
import os
import zipfile

import numpy as np
import pytest

from gkcmn_tf.encoded_video import EncodedVideo
from gkcmn_tf.records import input_pipeline
from gkcmn_tf.video import steps
from gkcmn_tf.video.frame_rates import SourceVideo, Timeline


@pytest.fixture(params=[None, np.array([0, 0, 1, 3, 4, 5])], ids=["every frame", "resampled"])
def video(request):
    timeline = Timeline(np.array([0, 0.1, 0.25, 0.3, 0.4, 0.9]), 1.0, request.param)
    source = SourceVideo("clips/ä.mp4", 640, 360, 29.97, timeline)
    features = np.random.default_rng(0).random((2, 7, 7, 3)).astype(np.float16)
    return EncodedVideo(features, np.arange(2), source, {"fps": None, "shape": [7, 7, 3]})


def test_the_steps_of_a_clip_are_those_of_training():
    features = np.arange(6 * 2, dtype=np.float16).reshape(6, 1, 1, 2)
    source = SourceVideo("v.mp4", 64, 48, 10.0, Timeline(np.arange(22) / 10, 2.2))
    video = EncodedVideo(features, np.arange(6), source, {})
    for begin, end in ((0, 22), (5, 17), (3, 4)):
        wanted = input_pipeline.clip_inputs(features, begin, end, 4)
        windows = np.unique(steps.step_windows(begin, end, 4))
        part = EncodedVideo(features[windows], windows, source, {})
        for encoded in (video, part):
            for found, expected in zip(encoded.clip_inputs(begin, end, 4), wanted, strict=True):
                np.testing.assert_array_equal(found, expected)


def test_a_part_that_is_not_encoded_is_refused():
    source = SourceVideo("v.mp4", 64, 48, 10.0, Timeline(np.arange(40) / 10, 4.0))
    video = EncodedVideo(np.zeros((3, 1, 1, 2), np.float16), np.array([1, 4, 9]), source, {})
    assert video.clip_inputs(4, 8, 2)[1].tolist() == [True, False]
    for begin, end in ((0, 4), (4, 12), (20, 40)):
        message = rf"v\.mp4: the part from {begin / 10:.2f} to {end / 10:.2f} s is not encoded"
        with pytest.raises(ValueError, match=message):
            video.clip_inputs(begin, end, 4)


def test_a_saved_video_is_loaded_unchanged(video, tmp_path):
    video.save(tmp_path / "deep" / "video.npz")
    loaded = EncodedVideo.load(tmp_path / "deep" / "video.npz")
    np.testing.assert_array_equal(loaded.features, video.features)
    np.testing.assert_array_equal(loaded.windows, video.windows)
    np.testing.assert_array_equal(loaded.source.timeline.times, video.source.timeline.times)
    shown = video.source.timeline.source_frames
    if shown is None:
        assert loaded.source.timeline.source_frames is None
    else:
        np.testing.assert_array_equal(loaded.source.timeline.source_frames, shown)
    assert loaded.fingerprint == video.fingerprint
    assert repr(loaded) == repr(video)
    assert (loaded.source.fps, loaded.source.timeline.end_time) == (29.97, 1.0)
    assert os.listdir(tmp_path / "deep") == ["video.npz"]


def test_other_files_are_refused(video, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.npz: no such encoded video"):
        EncodedVideo.load(tmp_path / "none.npz")
    path = tmp_path / "video.npz"
    video.save(path)
    damaged = path.read_bytes()[:-40]
    for content in (b"", b"text", damaged):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"video\.npz: not an encoded video"):
            EncodedVideo.load(path)
    np.savez(path, features=np.array([object()], dtype=object))
    with pytest.raises(ValueError, match=r"video\.npz: not an encoded video"):
        EncodedVideo.load(path)


def with_timeline(video, **changes):
    timeline = dataclasses.replace(video.source.timeline, **changes)
    return dataclasses.replace(video, source=dataclasses.replace(video.source, timeline=timeline))


def with_feature(video, value):
    features = video.features.copy()
    features[-1, -1, -1, -1] = value
    return dataclasses.replace(video, features=features)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: dataclasses.replace(v, features=v.features[:1]), "features: expected shape"),
        (
            lambda v: dataclasses.replace(v, features=v.features[..., :2]),
            "features: expected shape",
        ),
        (lambda v: dataclasses.replace(v, windows=np.arange(0)), "windows: expected numbers of"),
        (lambda v: dataclasses.replace(v, windows=np.array([0.0, 1])), "windows: expected int64"),
        (lambda v: dataclasses.replace(v, windows=np.array([1, 0])), "windows: expected numbers"),
        (lambda v: dataclasses.replace(v, windows=np.array([0, 2])), "windows: expected numbers"),
        (lambda v: dataclasses.replace(v, windows=np.array([-1, 1])), "windows: expected numbers"),
        (lambda v: with_feature(v, np.nan), "features: expected finite numbers"),
        (lambda v: with_feature(v, -np.inf), "features: expected finite numbers"),
        (
            lambda v: dataclasses.replace(v, features=v.features.astype(np.float64)),
            "features: expected float16 numbers, got float64",
        ),
        (lambda v: with_timeline(v, times=v.source.timeline.times + 0j), "times: expected float64"),
        (
            lambda v: with_timeline(v, times=np.array([-np.inf, *v.source.timeline.times[1:]])),
            "times: expected times",
        ),
        (
            lambda v: with_timeline(v, source_frames=np.zeros((6, 1), np.int64)),
            "source_frames: expected frames",
        ),
        (lambda v: dataclasses.replace(v, fingerprint=[]), "fingerprint: expected a dict"),
        (lambda v: with_timeline(v, times=v.source.timeline.times[::-1]), "times: expected times"),
        (lambda v: with_timeline(v, times=np.full(6, np.nan)), "times: expected times"),
        (lambda v: with_timeline(v, end_time=0.5), "times: expected times"),
        (lambda v: with_timeline(v, end_time=[1.0]), "end_time: expected a number, got "),
        (lambda v: with_timeline(v, source_frames=np.array([0, 6])), "source_frames: expected"),
        (
            lambda v: dataclasses.replace(v, source=dataclasses.replace(v.source, width="640")),
            "width: expected a positive number, got '640'",
        ),
    ],
)
def test_fields_that_do_not_fit_together_are_refused(video, change, message, tmp_path):
    path = tmp_path / "video.npz"
    change(video).save(path)
    with pytest.raises(ValueError, match=rf"video\.npz: not an encoded video \({message}"):
        EncodedVideo.load(path)


def test_a_member_of_another_format_is_refused(video, tmp_path):
    path = tmp_path / "video.npz"
    video.save(path)
    members = members_of(path)
    members["times.npy"] = members["times.npy"][1:]
    write_members(path, members)
    message = r"not an encoded video \(times: expected float64 numbers, got bytes"
    with pytest.raises(ValueError, match=message):
        EncodedVideo.load(path)


def members_of(path):
    with zipfile.ZipFile(path) as stored:
        return {name: stored.read(name) for name in stored.namelist()}


def write_members(path, members):
    with zipfile.ZipFile(path, "w") as changed:
        for name, content in members.items():
            changed.writestr(name, content)


def test_an_archive_that_asks_for_terabytes_is_refused(video, tmp_path):
    path = tmp_path / "video.npz"
    video.save(path)
    members = members_of(path)
    header = io.BytesIO()
    fields = {"descr": "<f2", "fortran_order": False, "shape": (10**12, 7, 7, 3)}
    np.lib.format.write_array_header_1_0(header, fields)
    members["features.npy"] = header.getvalue()
    write_members(path, members)
    with pytest.raises(ValueError, match=r"video\.npz: not an encoded video \(Unable to allocate"):
        EncodedVideo.load(path)


def test_a_damaged_archive_is_refused(video, tmp_path):
    """Each byte of the directory at the end of the archive is damaged in turn."""
    path = tmp_path / "video.npz"
    video.save(path)
    whole = path.read_bytes()
    begin = whole.index(b"PK\x01\x02")
    refused = 0
    for place in range(begin, len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            loaded = EncodedVideo.load(path)
        except ValueError as error:
            assert "not an encoded video" in str(error)
            refused += 1
            continue
        np.testing.assert_array_equal(loaded.features, video.features)
    assert refused > 50
