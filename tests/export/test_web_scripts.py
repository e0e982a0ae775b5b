"""Modules of the web page without a page, compared with the Python code that they repeat."""

import fractions
import random
import types
import unicodedata

import numpy as np
import pytest

from benchmarks.web import serving
from export import web
from gkcmn_tf import queries, searched_clips, tube_formats, tubes
from gkcmn_tf.features.quantization import as_stored
from gkcmn_tf.text.standardization import standardize
from gkcmn_tf.text.tokenization import Tokenizer
from gkcmn_tf.video import frame_rates, steps
from gkcmn_tf.video.frame_rates import SourceVideo, Timeline
from gkcmn_tf.video.windows import window_frames
from tests.export.web_browser import WEB_PAGE, launched_browser, plain_server

PLANES = [*range(0x40000), *range(0xE0000, 0xF0000)]
SENTENCES = [
    "Who play(instrument) the guitar ?",
    "what's the man's 'thing'?",
    "dogs' 'cats' ''x'' y",
    "the man’s rock ‘n’ roll",
    "Élan 2 chiens",
    " ?! ",
    "",
    "the ﬁre ａｎｄ the soft\u00adhyphen",
    "cafe\u0301 Z\u030cIVA",
    "e\u0302\u0323 ê\u0323 ệ",
    "a dog\0runs",
    "a \u2764\ufe0f heart, 1\ufe0f\u20e3 dog \U0001f468\u200d\U0001f469",
    "\ufeffthe dog\u200bruns",
    "ΟΔΟΣ οδος",
    "狗在跑, dog２只",
    "ｲﾇがか\u3099走る",
    "ที่นี่",
    "개가 뛴다",
    "'\u0301 \u0301'",
]


@pytest.fixture(scope="module")
def scripts():
    """Runs `body`, JavaScript with the modules of the page as `M.NAME` and an argument `x`."""
    with launched_browser() as browser, serving(plain_server(WEB_PAGE)) as address:
        page = browser.new_page()
        page.goto(f"{address}a/folder/favicon.svg")
        names = ("timeline", "text", "tubes", "formats", "features", "resize")
        imports = "".join(f"M.{name} = await import('/a/folder/src/{name}.js');" for name in names)

        def run(body, argument):
            return page.evaluate(f"async (x) => {{ const M = {{}}; {imports} {body} }}", argument)

        yield run


def standardized(scripts, sentences):
    body = """
        const tokenizer = new M.text.Tokenizer({}, 9, x.unassigned);
        return x.sentences.map((sentence) => tokenizer.standardize(sentence));
    """
    return scripts(
        body, {"sentences": sentences, "unassigned": [*map(list, web.unassigned_characters())]}
    )


def test_sentences_are_standardized_as_for_training(scripts):
    assert standardized(scripts, SENTENCES) == [standardize(each) for each in SENTENCES]


def test_every_character_is_standardized_as_for_training(scripts):
    sentences = []
    for first in range(0, len(PLANES), 512):
        block = [chr(code) for code in PLANES[first : first + 512]]
        block = [each for each in block if unicodedata.category(each) != "Cs"]
        sentences.append(" ".join(f"a{each}b {each}c'{each}" for each in block))
    found = standardized(scripts, sentences)
    for sentence, result in zip(sentences, found, strict=True):
        assert result == standardize(sentence)


def test_tokens_are_those_of_the_tokenizer(scripts):
    tokenizer = Tokenizer(["the", "Dog", "runs", "ﬁre"], max_words=4)
    sentences = ["The dog, the fire!", "a cat runs, a cat runs", "x", "?"]
    body = """
        const tokenizer = new M.text.Tokenizer(x.tokens, 4, []);
        return x.sentences.map((sentence) => {
          const { tokens, unknown } = tokenizer.tokenize(sentence);
          return { tokens: [...tokens], unknown };
        });
    """
    found = scripts(body, {"tokens": tokenizer.tokens, "sentences": sentences})
    np.testing.assert_array_equal([each["tokens"] for each in found], tokenizer(sentences))
    assert [each["unknown"] for each in found] == [*map(tokenizer.unknown_words, sentences)]


def make_timeline(rng, fps):
    """A timeline of random frame times in milliseconds."""
    milliseconds = np.cumsum(rng.choice([33, 40, 41, 120], rng.integers(1, 400)))
    times = [fractions.Fraction(int(each - milliseconds[0]), 1000) for each in milliseconds]
    seconds = np.array(times, np.float64)
    return Timeline(seconds, float(seconds[-1] + 0.04), source_frames(times, fps))


def source_frames(times, fps):
    """The frame that each sample shows; None without resampling."""
    if fps is None:
        return None
    rate = frame_rates.as_rate(fps)
    count = frame_rates.count_samples(times[-1], rate)
    firsts = [frame_rates.first_sample(time, rate) for time in times]
    return np.searchsorted(firsts, np.arange(count), side="right") - 1


@pytest.mark.parametrize("fps", [None, 10.0, 25.0])
@pytest.mark.parametrize("search", searched_clips.SEARCHES)
def test_clips_and_windows_are_those_of_the_runner(scripts, fps, search):
    rng = np.random.default_rng(0)
    body = """
        return x.map(({ times, endTime, fps, begin, end, search }) => {
          const timeline = new M.timeline.Timeline(times, endTime, fps);
          const clips = M.timeline.searchedClips(timeline, { begin, end, search }, 1.9);
          return {
            clips,
            windows: M.timeline.windowsOfClips(timeline, clips, 12),
            samples: clips.map((clip) => timeline.toSamples(clip)),
            frames: clips.map((clip) => timeline.toFrames(timeline.toSamples(clip))),
            last: M.timeline.windowSamples(0, timeline.sampleCount),
          };
        });
    """
    cases, expected = [], []
    for _ in range(30):
        timeline = make_timeline(rng, fps)
        part = sorted(rng.uniform(0, timeline.end_time, 2).tolist())
        begin, end = part if rng.random() < 0.5 and part[1] - part[0] > 0.5 else (None, None)
        cases.append(
            {
                "times": timeline.times.tolist(),
                "endTime": timeline.end_time,
                **{"fps": fps, "begin": begin, "end": end, "search": search},
            }
        )
        how = searched_clips.ClipSearch(12, 1.9, begin, end, search)
        clips = how.clips(timeline)
        samples = [timeline.to_samples(*clip) for clip in clips]
        expected.append(
            {
                "clips": [list(clip) for clip in clips],
                "windows": how.windows(timeline).tolist(),
                "samples": [list(each) for each in samples],
                "frames": [list(timeline.to_frames(*each)) for each in samples],
                "last": window_frames(timeline.sample_count)[0].tolist(),
            }
        )
    assert scripts(body, cases) == expected


@pytest.mark.parametrize("fps", [None, 10.0])
def test_tubes_are_those_of_the_runner(scripts, fps):
    rng = np.random.default_rng(1)
    T, M, width, height = 6, 30, 321, 199
    body = """
        return x.map(({ times, endTime, fps, clip, segments, scores, boxes }) => {
          const timeline = new M.timeline.Timeline(times, endTime, fps);
          const outputs = [{
            clip,
            segments: new Float32Array(segments),
            scores: new Float32Array(scores),
            boxes: new Float32Array(boxes),
          }];
          const size = { width: 321, height: 199 };
          return M.tubes.bestTubes(outputs, timeline, size, { maxSteps: 6, count: 1 }).tubes[0];
        });
    """
    cases, expected = [], []
    while len(cases) < 20:
        timeline = make_timeline(rng, fps)
        clip = (0, timeline.frame_count)
        begin, end = timeline.to_samples(*clip)
        num_steps = steps.count_steps(begin, end, T)
        segments = np.sort(rng.uniform(0, num_steps, (M, 2)).astype(np.float32))
        scores = rng.uniform(-0.5, 1, M).astype(np.float32)
        boxes = np.sort(rng.uniform(0, 1, (T, 2, 2)), axis=1).reshape(T, 4).astype(np.float32)
        if scores.max() < 0:
            continue
        cases.append(
            {
                "times": timeline.times.tolist(),
                "endTime": timeline.end_time,
                **{"fps": fps, "clip": list(clip)},
                **{"segments": segments.ravel().tolist(), "scores": scores.tolist()},
                "boxes": boxes.ravel().tolist(),
            }
        )
        best = scores.argmax()
        made = tubes.tube_from_steps(
            segments[best],
            boxes[:num_steps],
            **{"begin": begin, "end": end, "width": width, "height": height},
            score=float(scores[best]),
        )
        video = SourceVideo("a.mp4", width, height, 25.0, timeline)
        expected.append(queries.in_file_frames(made, video, clip))
    for found, tube in zip(scripts(body, cases), expected, strict=True):
        assert (found["begin"], found["end"], found["score"]) == (tube.begin, tube.end, tube.score)
        np.testing.assert_allclose(found["boxes"], tube.boxes, atol=0.0101)
        assert (found["beginSeconds"], found["endSeconds"]) == (
            tube.begin_seconds,
            tube.end_seconds,
        )


def test_other_tubes_overlap_little_and_are_sorted(scripts):
    rng = np.random.default_rng(2)
    segments = np.sort(rng.uniform(0, 12, (100, 2)), axis=1)
    body = """
        const timeline = new M.timeline.Timeline(x.times, 2, null);
        const outputs = [{
          clip: [0, 48],
          segments: new Float32Array(x.segments),
          scores: new Float32Array(x.scores),
          boxes: new Float32Array(48),
        }];
        const size = { width: 9, height: 9 };
        return M.tubes.bestTubes(outputs, timeline, size, { maxSteps: 12, count: 5 }).tubes;
    """
    case = {
        "times": (np.arange(48) / 24).tolist(),
        "segments": segments.ravel().tolist(),
        "scores": rng.uniform(0, 1, 100).tolist(),
    }
    found = scripts(body, case)
    assert [each["score"] for each in found] == sorted([e["score"] for e in found], reverse=True)
    for number, first in enumerate(found):
        for second in found[number + 1 :]:
            shared = min(first["end"], second["end"]) - max(first["begin"], second["begin"])
            union = max(first["end"], second["end"]) - min(first["begin"], second["begin"])
            assert shared / union <= 0.5
    assert len(found) > 2


def make_answers():
    rng = random.Random(0)
    timeline = Timeline(np.arange(60) / 7, 60 / 7)
    video = SourceVideo("a, b.mp4", 320, 240, 7.0, timeline)
    answers = []
    for sentence in ('the "red" <square>\n& a dog', "where is the café 犬?", "plain"):
        begin = rng.randrange(50)
        boxes = np.round([[rng.uniform(0, 240) for _ in range(4)] for _ in range(5)], 2)
        boxes[0] = [0, 1, 100, 200.5]
        score = rng.uniform(1e-6, 1)
        answers.append(
            tubes.Tube(begin, begin + 5, boxes, score, sentence=sentence, video=video, clip=(0, 60))
        )
    return [*answers, tube_formats.Absent("not, there", 3e-5, video)]


@pytest.mark.parametrize("form", ["json", "csv", "webvtt"])
def test_files_equal_those_of_the_programs(scripts, form):
    answers = make_answers()
    described = [
        {
            "sentence": answer.sentence,
            "score": answer.score,
            "tube": None
            if isinstance(answer, tube_formats.Absent)
            else {
                **{"begin": answer.begin, "end": answer.end, "boxes": answer.boxes.tolist()},
                "beginSeconds": answer.begin_seconds,
                "endSeconds": answer.end_seconds,
                "clip": list(answer.clip),
            },
        }
        for answer in answers
    ]
    body = """
        const { name, times, answers } = x;
        return {
          json: M.formats.jsonLines(name, answers),
          csv: M.formats.csv(name, answers, times),
          webvtt: M.formats.webvtt(answers),
        }[x.form];
    """
    video = answers[0].video
    argument = {"name": video.path, "times": video.timeline.times.tolist(), "form": form}
    found = scripts(body, argument | {"answers": described})
    assert found == tube_formats.format_answers(answers, form)


@pytest.mark.parametrize("storage", ["float16", "bfloat16", "int8"])
def test_features_are_rounded_as_in_training(scripts, storage):
    rng = np.random.default_rng(0)
    features = (rng.uniform(0, 4, (3, 50, 8)) ** 8).astype(np.float32)
    features[0, :4] = [[0.0], [3e-8], [2.0**-15], [65504.0]]
    features[..., 3] = 1.5  # a constant channel
    body = """
        const windows = x.windows.map((values) => M.features.halved(new Float32Array(values)));
        return M.features.asStored(windows, x.storage, 8).map((values) => [...values]);
    """
    windows = features.reshape(3, -1).tolist()
    found = scripts(body, {"windows": windows, "storage": storage})
    expected = as_stored(features.astype(np.float16), storage)
    np.testing.assert_array_equal(np.reshape(found, features.shape), expected)


@pytest.mark.parametrize("times", [[0.0, 601.0], [0.0, *(100.0 * each for each in range(1, 60))]])
def test_times_that_cannot_be_resampled_are_refused(scripts, times):
    body = """
        try {
          new M.timeline.Timeline(x, x.at(-1) + 1, 10);
        } catch (error) {
          return error.message;
        }
    """
    assert "cannot be resampled to 10 frames per second" in scripts(body, times)
    assert scripts(body, [0.0, 599.0]) is None


def test_a_part_outside_the_video_is_refused(scripts):
    body = """
        const timeline = new M.timeline.Timeline([0, 1, 2], 3, null);
        try {
          M.timeline.searchedClips(timeline, { begin: 2, end: 9, search: "auto" }, 1);
        } catch (error) {
          return error.message;
        }
    """
    assert scripts(body, None).startswith("The part from 2 to 9 s is not inside the video")


def test_the_differences_from_training_are_those_of_the_library(scripts):
    from gkcmn_tf import out_of_distribution

    rng = np.random.default_rng(0)
    features = rng.uniform(0, 2, (4, 7, 7, 5)).astype(np.float16)
    training = {
        "clips": {"seconds": {"min": 1.0, "max": 2.0}},
        "features": {
            "channel_mean": [1.0, 2.0, 0.5, 1.0, 0.0],
            "channel_deviation": [0.5, 1.0, 2.0, 0.1, 0.3],
            "distance": {"p99": 0.5},
        },
    }
    timeline = Timeline(np.arange(96) / 24, 4.0)
    video = types.SimpleNamespace(source=SourceVideo("a", 9, 9, 24.0, timeline), features=features)
    expected = out_of_distribution.differences_from_training(video, (0, 96), 3, training)
    body = """
        const windows = x.windows.map((values) => new Float32Array(values));
        return M.features.differencesFromTraining(windows, { seconds: 4, steps: 3 }, x.training);
    """
    windows = features.reshape(4, -1).tolist()
    found = scripts(body, {"windows": windows, "training": training})
    distance = out_of_distribution.feature_distance(features, training)
    assert len(found) == len(expected) == 3
    assert f"distance {distance:.1f}" in found[2]
