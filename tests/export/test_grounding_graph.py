import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from export import grounding_graph
from gkcmn_tf.encoded_video import EncodedVideo
from gkcmn_tf.video import reading
from gkcmn_tf.video.frame_rates import SourceVideo, Timeline
from gkcmn_tf.video.steps import step_windows
from gkcmn_tf.video.windows import window_frames
from tests.export.tiny_model import T, ground, make_extractor, make_i3d, make_model

SENTENCES = ["the red square moves left", "blue", "the flurble moves"]
OPEN = 70.0  # maximum width and height in pixels


@pytest.fixture(scope="session")
def graph(trained):
    return grounding_graph.GroundingGraph(trained, make_i3d(), max_frames=20_000)


@pytest.fixture(scope="session")
def signatures(graph):
    return graph.signatures()


@pytest.fixture(scope="session")
def gkcmn_signatures(gkcmn):
    return grounding_graph.GroundingGraph(gkcmn, make_i3d()).signatures()


def call(signature, **inputs):
    outputs = signature(**{name: tf.constant(value) for name, value in inputs.items()})
    return {name: value.numpy() for name, value in outputs.items()}


def make_features(frame_count, seed=0):
    windows = -(-frame_count // 4)
    shape = (windows, 7, 7, 3)
    return np.random.default_rng(seed).random(shape).astype("float16").astype("float32")


def clip_of(features, begin, end, fps=10.0):
    return {
        "features": features[None],
        "begin": np.int32([begin]),
        "end": np.int32([end]),
        "fps": np.float32([fps]),
        "width": np.int32([70]),
        "height": np.int32([50]),
    }


def shown(frames, fps=10.0):
    return {
        "frames": frames[None],
        "frame_count": np.int32([len(frames)]),
        "fps": np.float32([fps]),
        "width": np.int32([0]),
        "height": np.int32([0]),
    }


def keras_tubes(trained, features, begin, end):
    timeline = Timeline(np.arange(end) / 10, end / 10)
    source = SourceVideo("v", 70, 50, 10.0, timeline)
    encoded = EncodedVideo(features, np.arange(len(features)), source, trained.features)
    return ground(trained, encoded, SENTENCES, begin, end)


@settings(max_examples=25)
@given(begin=st.integers(0, 40), length=st.integers(1, 60), seed=st.integers(0, 99))
def test_tubes_equal_those_of_the_keras_model(trained, signatures, begin, length, seed):
    end = begin + length
    features = make_features(end, seed)
    found = call(
        signatures["ground_features"], **clip_of(features, begin, end), sentences=[SENTENCES]
    )
    assert found["boxes"].shape == (1, 3, length, 4)
    for i, tube in enumerate(keras_tubes(trained, features, begin, end)):
        assert found["segment_frames"][0, i].tolist() == [tube.begin, tube.end]
        np.testing.assert_allclose(found["score"][0, i], tube.score, atol=1e-5)
        boxes = found["boxes"][0, i][tube.begin - begin : tube.end - begin]
        # Boxes of a tube are rounded to hundredths of a pixel.
        np.testing.assert_allclose(boxes, tube.boxes, atol=0.005 + 1e-5 * OPEN)
        np.testing.assert_allclose(
            found["segment_seconds"][0, i], [tube.begin / 10, tube.end / 10], rtol=1e-6
        )


def test_the_default_signature_takes_one_sentence_per_clip(signatures):
    clips = [clip_of(make_features(30, seed), 2, 30) for seed in range(3)]
    batch = {name: np.concatenate([clip[name] for clip in clips]) for name in clips[0]}
    together = call(signatures["serving_default"], **batch, sentence=SENTENCES)
    for i, clip in enumerate(clips):
        alone = call(signatures["ground_features"], **clip, sentences=[[SENTENCES[i]]])
        for name, value in together.items():
            np.testing.assert_allclose(
                value[i], alone[name][0, 0], rtol=1e-5, atol=1e-4, err_msg=name
            )


def test_many_sentences_give_the_tubes_of_each_alone(signatures):
    many = [SENTENCES[i % 3] for i in range(2 * grounding_graph.SENTENCE_BATCH + 1)]
    clips = [clip_of(make_features(30, seed), 2, 20 + 10 * seed) for seed in range(2)]
    batch = {name: np.concatenate([clip[name] for clip in clips]) for name in clips[0]}
    for inputs, rows in ((clips[1], [1]), (batch, [0, 1])):
        together = call(
            signatures["ground_features"], **inputs, sentences=[many] * len(inputs["begin"])
        )
        for row, seed in enumerate(rows):
            alone = call(signatures["ground_features"], **clips[seed], sentences=[SENTENCES])
            for name, value in together.items():
                assert value.shape[1] == len(many)
                for i in range(len(many)):
                    expected = alone[name][0, i % 3]
                    found = value[row, i][: len(expected)] if name == "boxes" else value[row, i]
                    np.testing.assert_allclose(found, expected, atol=1e-4, err_msg=name)


def test_the_largest_features_that_can_be_stored_give_finite_tubes(signatures):
    features = np.where(make_features(20) > 0.5, 65504, -65504).astype("float32")
    found = call(signatures["serving_default"], **clip_of(features, 0, 20), sentence=["red"])
    assert all(np.isfinite(value).all() for value in found.values())


def test_too_many_sentences_are_refused(gkcmn):
    graph = grounding_graph.GroundingGraph(gkcmn, make_i3d(), max_sentences=4)
    signature = graph.signatures()["ground_features"]
    clip = clip_of(make_features(20), 0, 20)
    assert call(signature, **clip, sentences=[["red"] * 4])["score"].shape == (1, 4)
    message = "sentences: expected at most 4 in a request (--max_sentences of the export)"
    refused(signature, message, **clip, sentences=[["red"] * 5])


def test_too_many_clips_are_refused(gkcmn):
    graph = grounding_graph.GroundingGraph(gkcmn, make_i3d(), max_clips=2)
    signature = graph.signatures()["serving_default"]
    clip = clip_of(make_features(20), 0, 20)
    two, three = ({name: np.repeat(value, n, 0) for name, value in clip.items()} for n in (2, 3))
    assert call(signature, **two, sentence=["red"] * 2)["score"].shape == (2,)
    message = "inputs: expected at most 2 clips in a request (--max_clips of the export)"
    refused(signature, message, **three, sentence=["red"] * 3)


def test_features_are_encoded_for_a_limited_number_of_frames_of_all_videos(gkcmn):
    graph = grounding_graph.GroundingGraph(gkcmn, make_i3d(), max_frames=16)
    signature = graph.signatures()["encode_video"]
    frames = np.zeros((2, 16, 16, 16, 3), np.uint8)
    counts = np.int32([8, 8])
    assert call(signature, frames=frames, frame_count=counts)["features"].shape[:2] == (2, 2)
    message = "frame_count: expected at most 16 frames in a request (--max_frames of the export)"
    refused(signature, message, frames=frames, frame_count=np.int32([1, 9]))


def test_padding_does_not_change_the_result(signatures):
    short = clip_of(make_features(11), 0, 11)
    padded = dict(short)
    padded["features"] = np.pad(
        short["features"], [[0, 0], [0, 4], [0, 0], [0, 0], [0, 0]], constant_values=np.nan
    )
    a = call(signatures["serving_default"], **short, sentence=SENTENCES[:1])
    b = call(signatures["serving_default"], **padded, sentence=SENTENCES[:1])
    for name, value in a.items():
        np.testing.assert_array_equal(value, b[name])


def test_videos_of_different_lengths_share_a_batch(gkcmn_signatures):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (2, 21, 30, 40, 3), np.uint8)
    counts = np.int32([21, 6])
    batch = {
        "frames": frames,
        "frame_count": counts,
        "fps": np.float32([10, 10]),
        "width": np.int32([0, 80]),
        "height": np.int32([0, 60]),
    }
    together = call(gkcmn_signatures["ground_video"], **batch, sentence=SENTENCES[:2])
    encoded = call(gkcmn_signatures["encode_video"], frames=frames, frame_count=counts)["features"]
    assert encoded.shape == (2, 6, 7, 7, 3)
    assert not encoded[1, 2:].any()
    for i, count in enumerate(counts):
        clip = clip_of(encoded[i], 0, count)
        clip |= {"width": np.int32([[40, 80][i]]), "height": np.int32([[30, 60][i]])}
        alone = call(gkcmn_signatures["serving_default"], **clip, sentence=SENTENCES[i : i + 1])
        for name, value in together.items():
            mine = value[i][:count] if name == "boxes" else value[i]
            np.testing.assert_allclose(mine, alone[name][0], atol=1e-4, err_msg=name)
    assert not together["boxes"][1, 6:].any()


def test_frames_of_the_training_size_give_the_features_of_training(gkcmn_signatures, video_path):
    stored = make_extractor().extract(video_path).features
    frames = np.stack(list(reading.decode_frames(video_path)))
    encoded = call(
        gkcmn_signatures["encode_video"], frames=frames[None], frame_count=np.int32([len(frames)])
    )
    np.testing.assert_array_equal(encoded["features"][0], stored.astype("float32"))


def test_frames_of_another_size_give_nearly_the_features_of_training(gkcmn_signatures, video_path):
    stored = make_extractor().extract(video_path).features
    frames = np.stack(list(reading.decode_frames(video_path, size=None)))
    encoded = call(
        gkcmn_signatures["encode_video"], frames=frames[None], frame_count=np.int32([len(frames)])
    )
    np.testing.assert_allclose(encoded["features"][0], stored, atol=0.02)


def test_single_windows_and_steps_give_the_result_of_the_whole_video(gkcmn_signatures, gkcmn):
    frames = np.random.default_rng(0).integers(0, 256, (60, 40, 50, 3), np.uint8)
    whole = call(gkcmn_signatures["encode_video"], frames=frames[None], frame_count=np.int32([60]))[
        "features"
    ]
    windows = step_windows(8, 60, gkcmn.max_steps)
    assert len(windows) < 15
    single = call(
        gkcmn_signatures["encode_windows"], windows=frames[window_frames(60)[windows]][None]
    )["features"]
    np.testing.assert_array_equal(single[0], whole[0, windows])
    clip = clip_of(whole[0], 8, 60) | {"sentences": np.array([SENTENCES])}
    expected = call(gkcmn_signatures["ground_features"], **clip)
    found = call(gkcmn_signatures["ground_steps"], **clip | {"features": single})
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((0, 2, 8, 16, 16, 3), "windows: expected at least one row"),
        ((1, 0, 8, 16, 16, 3), "windows: expected 1 window or more, and at most 20000 frames"),
        ((2, 1251, 8, 1, 1, 3), "windows: expected 1 window or more, and at most 20000 frames"),
        ((1, 2, 8, 16, 15, 3), "frames: expected at least 16x16 pixels"),
    ],
)
def test_invalid_windows_are_refused(gkcmn_signatures, shape, message):
    windows = np.zeros(shape, np.uint8)
    refused(gkcmn_signatures["encode_windows"], message, windows=windows)


def test_top_tubes_are_distinct_and_sorted_by_score(signatures):
    found = call(
        signatures["serving_default"],
        **clip_of(make_features(100), 0, 100),
        sentence=SENTENCES[:1],
    )
    scores, segments = found["top_scores"][0], found["top_segments_frames"][0]
    assert (np.diff(scores) <= 0).all() and scores[0] == found["score"][0]
    assert segments[0].tolist() == found["segment_frames"][0].tolist()
    kept = segments[scores > 0]
    assert len({tuple(segment) for segment in kept.tolist()}) == len(kept)
    assert not segments[scores == 0].any()


def test_a_single_frame_is_a_tube(signatures):
    frame = np.full((1, 16, 20, 3), 200, np.uint8)
    found = call(signatures["ground_video"], **shown(frame), sentence=["red"])
    assert found["segment_frames"].tolist() == [[0, 1]]
    assert found["boxes"].shape == (1, 1, 4)
    assert (found["boxes"] <= [20, 16, 20, 16]).all()


def test_words_after_the_maximum_are_ignored(signatures):
    clip = clip_of(make_features(20), 0, 20)
    many = " ".join(["the red square moves left"] * 2000)
    a = call(signatures["serving_default"], **clip, sentence=[many])
    b = call(signatures["serving_default"], **clip, sentence=["The RED square, moves left!"])
    for name, value in a.items():
        np.testing.assert_array_equal(value, b[name])


def test_all_unknown_words_have_the_same_token(signatures):
    clip = clip_of(make_features(20), 0, 20)
    a = call(signatures["serving_default"], **clip, sentence=["the flurble"])
    b = call(signatures["serving_default"], **clip, sentence=["the gnarf"])
    assert np.isfinite(a["score"]).all()
    np.testing.assert_array_equal(a["boxes"], b["boxes"])
    known = call(signatures["serving_default"], **clip, sentence=["the red square"])
    assert [found["unknown_words"].tolist() for found in (a, b, known)] == [[1], [1], [0]]


def test_other_spellings_of_a_sentence_give_the_same_tubes(signatures):
    clip = clip_of(make_features(20), 0, 20)
    spellings = ["the red square", "THE r\u00aded ｓｑｕａｒｅ", "the\0red\ufe0f squ\u200dare"]
    found = [call(signatures["serving_default"], **clip, sentence=[s]) for s in spellings]
    for other in found[1:]:
        for name, value in found[0].items():
            np.testing.assert_array_equal(other[name], value)


def refused(signature, message, **inputs):
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        call(signature, **inputs)
    assert message in error.value.message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sentence": [""]}, "sentence: contains no word"),
        ({"sentence": [" ?! "]}, "sentence: contains no word"),
        ({"sentence": [b"\xff\xfe"]}, "sentence: contains no word"),
        ({"sentence": ["?" * 1000]}, "[[" + "?" * 100 + "]]"),
        ({"sentence": ["red", "blue"]}, "expected the same batch size"),
        ({"begin": np.int32([-1])}, "expected 0 <= begin < end"),
        ({"begin": np.int32([20])}, "expected 0 <= begin < end"),
        ({"end": np.int32([20_001])}, "20000 frames (--max_frames"),
        ({"end": np.int32([21])}, "too few windows"),
        ({"fps": np.float32([0])}, "fps: expected frames per second"),
        ({"fps": np.float32([np.nan])}, "fps: expected frames per second"),
        ({"width": np.int32([0])}, "width, height: expected at least 1 pixels"),
        ({"features": np.full((1, 5, 7, 7, 3), np.nan, "float32")}, "features: expected finite"),
        ({"features": np.full((1, 5, 7, 7, 3), 1e35, "float32")}, "features: expected finite"),
        ({"features": np.full((1, 5, 7, 7, 3), -65505, "float32")}, "at most 65504 as in float16"),
        ({"features": np.zeros((1, 0, 7, 7, 3), "float32")}, "too few windows"),
    ],
)
def test_invalid_stored_features_are_refused(gkcmn_signatures, change, message):
    inputs = clip_of(make_features(20), 0, 20) | {"sentence": ["red"]} | change
    refused(gkcmn_signatures["serving_default"], message, **inputs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sentence": [""]}, "sentence: contains no word"),
        ({"frame_count": np.int32([0])}, "frame_count: expected 1 to 20000"),
        ({"frame_count": np.int32([5])}, "frame_count: expected 1 to 20000"),
        ({"frames": np.zeros((1, 0, 16, 16, 3), np.uint8)}, "frame_count: expected 1 to 20000"),
        ({"frames": np.zeros((1, 4, 0, 16, 3), np.uint8)}, "frames: expected at least 16x16"),
        ({"frames": np.zeros((1, 4, 16, 15, 3), np.uint8)}, "frames: expected at least 16x16"),
        ({"frames": np.zeros((0, 4, 16, 16, 3), np.uint8)}, "batch size of at least 1"),
        ({"height": np.int32([-1])}, "width, height: expected at least 0 pixels"),
    ],
)
def test_invalid_videos_are_refused(gkcmn_signatures, change, message):
    frames = np.zeros((4, 16, 16, 3), np.uint8)
    inputs = shown(frames) | {"sentence": ["red"]} | change
    refused(gkcmn_signatures["ground_video"], message, **inputs)


def test_an_empty_list_of_sentences_is_refused(gkcmn_signatures):
    refused(
        gkcmn_signatures["ground_features"],
        "sentences: expected at least one per clip",
        **clip_of(make_features(20), 0, 20),
        sentences=np.zeros((1, 0), object),
    )


def test_a_model_of_resampled_videos_accepts_only_resampled_videos():
    signatures = grounding_graph.GroundingGraph(make_model(fps=5.0), make_i3d()).signatures()
    clip = clip_of(make_features(20), 0, 20, fps=5.0)
    found = call(signatures["serving_default"], **clip, sentence=["red"])
    np.testing.assert_allclose(found["segment_seconds"], found["segment_frames"] / 5)
    clip["fps"] = np.float32([25])
    message = "trained on videos resampled to 5 frames per second"
    refused(signatures["serving_default"], message, **clip, sentence=["red"])


@pytest.mark.slow
def test_twenty_thousand_frames(gkcmn_signatures):
    frames = np.zeros((20_000, 16, 16, 3), np.uint8)
    frames[10_000:] = 200
    encoded = call(
        gkcmn_signatures["encode_video"], frames=frames[None], frame_count=np.int32([20_000])
    )["features"]
    assert encoded.shape == (1, 5_000, 7, 7, 3)
    assert np.ptp(encoded[0, :2_400]) == np.ptp(encoded[0, 2_600:]) == 0
    assert encoded[0, 0, 0, 0, 0] < encoded[0, -1, 0, 0, 0]
    found = call(gkcmn_signatures["ground_video"], **shown(frames), sentence=["red"])
    assert found["boxes"].shape == (1, 20_000, 4)


def test_bfloat16_weights_take_half_the_space_and_change_results_little(gkcmn, gkcmn_signatures):
    graph = grounding_graph.GroundingGraph(gkcmn, make_i3d(), weights="bfloat16")
    kinds = {len(v.shape) > 1: v.dtype for v in graph.kept.weights}
    assert kinds == {True: tf.bfloat16, False: tf.float32}
    clip = clip_of(make_features(T * 4), 0, T * 4)
    a = call(gkcmn_signatures["serving_default"], **clip, sentence=["red"])
    b = call(graph.signatures()["serving_default"], **clip, sentence=["red"])
    np.testing.assert_allclose(a["score"], b["score"], atol=0.05)


@pytest.mark.parametrize(
    "argument",
    [{"weights": "int3"}, {"top_k": 0}, {"max_frames": 0}, {"max_clips": 0}, {"max_sentences": 0}],
)
def test_invalid_arguments_are_errors(gkcmn, argument):
    with pytest.raises(ValueError, match=next(iter(argument))):
        grounding_graph.GroundingGraph(gkcmn, make_i3d(), **argument)
