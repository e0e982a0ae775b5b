import json

import numpy as np
import pytest

from gkcmn_tf.i3d import classify, convert, published_weights
from gkcmn_tf.video import reading, writing
from tests.gkcmn_tf.i3d.reference_i3d import SCOPE, call_program


@pytest.mark.parametrize(
    ("frames", "lengths"),
    [
        (1, [1]),
        (64, [64]),
        (79, [79]),
        (80, [64, 16]),
        (143, [64, 79]),
        (144, [64, 64, 16]),
    ],
)
def test_stretches(frames, lengths):
    stretches = list(classify.cut(range(frames)))
    assert [len(stretch) for stretch in stretches] == lengths
    assert [frame for stretch in stretches for frame in stretch] == list(range(frames))


def write_grey(path, levels):
    """Writes a video of uniform grey frames at 25 frames per second."""
    writing.write_video(str(path), (np.full((48, 64, 3), level, np.uint8) for level in levels), 25)
    return str(path)


def test_each_stretch_gets_its_frames_scaled_to_the_input_range_of_i3d(tmp_path):
    path = write_grey(tmp_path / "v.mp4", [0] * 64 + [255] * 20)
    clips = []

    def logits_of(clip):
        clips.append(clip)
        return np.float32([clip.mean(), len(clip)])

    stream = reading.decode_frames(path)
    stretches = list(classify.classify(stream, logits_of))
    assert [clip.shape for clip in clips] == [(64, 224, 224, 3), (20, 224, 224, 3)]
    assert [(s.begin_frame, s.end_frame) for s in stretches] == [(0, 64), (64, 84)]
    times = [(s.begin, s.end) for s in stretches]
    np.testing.assert_allclose(times, [(0, 2.56), (2.56, 3.36)], atol=1e-6)
    np.testing.assert_allclose([s.logits[0] for s in stretches], [-1, 1], atol=0.02)
    np.testing.assert_allclose(classify.mean_logits(stretches)[1], (64 * 64 + 20 * 20) / 84)


def test_a_short_video_repeats_its_last_frame(tmp_path):
    path = write_grey(tmp_path / "v.mp4", [0, 0, 255])
    clips = []
    stream = reading.decode_frames(path)
    (stretch,) = classify.classify(stream, lambda clip: clips.append(clip) or np.zeros(400))
    np.testing.assert_allclose(clips[0].mean((1, 2, 3)), [-1, -1] + [1] * 7, atol=0.05)
    assert (stretch.begin_frame, stretch.end_frame) == (0, 3)


def test_the_top_classes():
    logits = np.zeros(400)
    logits[[0, 399, 5]] = np.log([600, 300, 100])
    # The other 397 have 1 each: 1397 in all.
    top = classify.top_classes(logits)
    assert [c["name"] for c in top[:2]] == ["abseiling", "zumba"]
    assert [c["probability"] for c in top] == [0.429492, 0.214746, 0.071582, 0.000716, 0.000716]


def test_weights_without_known_classes_are_refused(values, tmp_path):
    with pytest.raises(ValueError, match="'random:0' are random and have no classes"):
        classify.class_variables("random:0")
    head = f"{SCOPE}Logits/Conv3d_0c_1x1/conv_3d"
    convert.write_variables(
        values
        | {
            f"{head}/w": np.zeros((1, 1, 1, 1024, 600), np.float32),
            f"{head}/b": np.zeros(600, np.float32),
        },
        str(tmp_path / "600.npz"),
    )
    with pytest.raises(ValueError, match="have 600 classes"):
        classify.class_variables(str(tmp_path / "600.npz"))


@pytest.mark.slow
def test_the_program_with_a_network_of_known_logits(values, tmp_path):
    head = f"{SCOPE}Logits/Conv3d_0c_1x1/conv_3d"
    # The logits equal the bias: "playing cricket" e times as likely as every other class.
    bias = np.zeros(400, np.float32)
    bias[published_weights.labels().index("playing cricket")] = 1
    weights = values | {f"{head}/w": np.zeros_like(values[f"{head}/w"]), f"{head}/b": bias}
    convert.write_variables(weights, str(tmp_path / "i3d.npz"))
    path = write_grey(tmp_path / "v.mp4", [100] * 12)
    arguments = (f"--video={path}", f"--i3d_weights={tmp_path}/i3d.npz")
    report = json.loads(call_program("classify", *arguments, "--json"))
    best = report["classes"][0]
    assert best == {"name": "playing cricket", "probability": round(np.e / (np.e + 399), 6)}
    assert report["known_as"] == "weights unknown to this package"
    (stretch,) = report["stretches"]
    assert (stretch["frames"], stretch["seconds"]) == ([0, 12], [0.0, 0.48])
    assert stretch["classes"] == report["classes"]
    table = call_program("classify", *arguments).splitlines()
    assert table[0] == f"{path}: 12 frames, 0.48 s"
    assert report["sha256"] in table[1]
    assert table[3].split("  ")[-1].startswith("playing cricket 0.007, ")
    assert len(table) == 5
