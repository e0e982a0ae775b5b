"""The exported page of the packaged model in a headless browser."""

import base64
import contextlib
import dataclasses
import fractions
import itertools
import json
import os
import pathlib
import re

import av
import numpy as np
import pytest

import gkcmn_tf
from benchmarks.web import serving
from export import run_tflite, web
from gkcmn_tf import preset, tube_formats, tubes
from gkcmn_tf.evaluation import metrics
from gkcmn_tf.searched_clips import ClipSearch
from gkcmn_tf.video import reading, writing
from tests.export.web_browser import launched_browser, plain_server
from tests.gkcmn_tf.video.pictures import set_display_matrix

SAMPLES = gkcmn_tf.samples()
VIDEO = pathlib.Path(SAMPLES[0].video)
FOUND = ("a small purple cross is moving right.", "the flurble, a “dog” turns")
PART = {"begin": None, "end": None, "search": "auto"}
MINUTES = 180_000  # milliseconds; the machine may be busy


@pytest.fixture(scope="module")
def browser():
    with launched_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def folder(browser, tmp_path_factory):
    """The page of the packaged model; not exported where there is no browser."""
    del browser
    folder = tmp_path_factory.mktemp("web") / "page"
    web.export(preset.find("gkcmn_shapes"), str(folder))
    return folder


@pytest.fixture(scope="module")
def isolated(folder):
    """Address of the page on the program's own server."""
    with serving(web.make_server(str(folder))) as address:
        yield address


@pytest.fixture(scope="module")
def plain(folder):
    """Address of the page in a folder of a static host."""
    with serving(plain_server(folder)) as address:
        yield f"{address}a/folder/"


@pytest.fixture(scope="module")
def runner(folder):
    """The same files, run by `export.run_tflite`."""
    grounder = run_tflite.Grounder(str(folder / "model" / "grounding.tflite"), 1)
    encoder = run_tflite.Encoder(str(folder / "model" / "i3d.tflite"), grounder.features, 1)
    return grounder, encoder


@pytest.fixture(scope="module")
def page(browser, isolated):
    """An isolated page that has loaded its model."""
    return opened(browser, f"{isolated}?demo=off&threads=2")


@pytest.fixture(scope="module")
def searched(browser, isolated):
    """Another one, in which two sentences are found in `VIDEO`."""
    page = opened(browser, f"{isolated}?demo=off")
    open_file(page, VIDEO)
    set_threshold(page, 0)
    find(page, *FOUND)
    return page


def opened(browser, address):
    page = browser.new_page()
    page.set_default_timeout(MINUTES)
    page.goto(address)
    page.evaluate("gkcmn.ready")
    return page


def call(page, action, **options):
    return page.evaluate("([action, options]) => gkcmn.call(action, options)", [action, options])


def open_file(page, path):
    """Opens a video through the file input."""
    page.set_input_files("#file", str(path))
    page.wait_for_function(
        "name => document.querySelector('#phase').textContent.startsWith(name)"
        " || document.querySelector('.notice.bad')",
        arg=f"{os.path.basename(path)}: ",
    )


def find(page, *sentences):
    """Grounds sentences through the form; returns the text of the results."""
    page.fill("#sentences", "\n".join(sentences))
    page.click("#find")
    page.wait_for_selector("#cancel:visible, .notice.bad, .results li", state="attached")
    page.wait_for_function(
        "() => document.querySelector('#cancel').hidden"
        " && !document.querySelector('#find').disabled"
    )
    return page.locator(".results li").all_inner_texts()


def download(page, button):
    with page.expect_download() as started:
        page.click(f"#downloads button:text-is('{button}')")
    return pathlib.Path(started.value.path()).read_bytes()


def encoded(encoder, grounder, path):
    return encoder.encode(str(path), grounder.clip_search().windows)


def agreement(found, expected):
    """Temporal IoU of two tubes, and the mean IoU of their boxes on shared frames."""
    first, last = max(found.begin, expected.begin), min(found.end, expected.end)
    shared = np.arange(first, max(first, last))
    union = max(found.end, expected.end) - min(found.begin, expected.begin)
    ious = metrics.box_iou(found.boxes_at(shared), expected.boxes_at(shared))
    return len(shared) / union, float(np.mean(ious)) if len(shared) else 0.0


def as_tube(answer):
    boxes = np.array(list(answer["boxes"].values()))
    return tubes.Tube(answer["begin"], answer["end"], boxes, answer["score"])


def check_tubes(page, runner, sample):
    grounder, encoder = runner
    expected = encoded(encoder, grounder, sample.video)
    clips = grounder.clip_search().clips(expected.source.timeline)
    open_file(page, sample.video)
    set_threshold(page, 0)
    find(page, *sample.sentences)
    lines = download(page, "JSON").decode().splitlines()
    # The ranges of 8-bit activations are rounded differently by other kernels.
    features = page_features(page, expected)
    assert np.std(features - expected.features) <= 0.06 * np.std(expected.features)
    expected = dataclasses.replace(expected, features=features)
    for sentence, line in zip(sample.sentences, lines, strict=True):
        answer = json.loads(line)
        assert answer["query"] == sentence
        found = as_tube(answer)
        values = agreement(found, grounder.search(expected, sentence, clips))
        assert min(values) >= 0.99, (sentence, values)


def page_features(page, expected):
    """Features of the page for the windows of an encoded video."""
    rows = page.evaluate(
        "async (windows) => (await gkcmn.call('features', { windows })).map((row) => [...row])",
        expected.windows.tolist(),
    )
    return np.reshape(rows, expected.features.shape).astype(expected.features.dtype)


def set_threshold(page, value):
    page.evaluate(
        """(value) => {
          const slider = document.querySelector("#threshold");
          slider.value = value;
          slider.dispatchEvent(new Event("input"));
        }""",
        value,
    )


@pytest.mark.parametrize("number", [0, 3])
def test_the_tubes_are_those_of_the_runner(page, runner, number):
    assert page.evaluate("crossOriginIsolated")
    assert "2 threads" in page.text_content("#engine")
    check_tubes(page, runner, SAMPLES[number])


def test_without_isolation_one_thread_gives_the_same_tubes(browser, plain, runner):
    page = opened(browser, f"{plain}?demo=off&isolation=off")
    assert not page.evaluate("crossOriginIsolated")
    assert "one thread" in page.text_content("#engine")
    check_tubes(page, runner, SAMPLES[1])
    page.close()


def test_a_service_worker_isolates_the_page_on_any_host(browser, plain):
    page = browser.new_page()
    page.set_default_timeout(MINUTES)
    page.goto(f"{plain}?demo=off&threads=2")
    page.wait_for_function("() => crossOriginIsolated")
    page.wait_for_function("() => document.querySelector('#engine').textContent")
    assert "2 threads" in page.text_content("#engine")
    page.close()


def write_coloured(path, size, matrix=None, *, codec="libx264", pixels="yuv420p", aspect=None):
    """A video of noise and gradients, with a colour matrix if the file names one."""
    width, height = size
    rng = np.random.default_rng(0)
    x264, vpx = {"qp": "12"}, {"deadline": "realtime", "auto-alt-ref": "0"}
    options = x264 if codec.startswith("libx264") else vpx
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=5, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        if matrix is not None:
            stream.codec_context.colorspace = matrix
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        small = rng.integers(0, 256, (6, 7, 3), np.uint8)
        for number in range(6):
            picture = np.kron(
                np.roll(small, number, 1), np.ones((height // 6 + 1, width // 7 + 1, 1))
            )
            picture = picture[:height, :width].astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            container.mux(stream.encode(frame.reformat(format=pixels)))
        container.mux(stream.encode())


@pytest.mark.parametrize(
    ("size", "matrix"),
    [((640, 360), None), ((640, 360), 1), ((150, 130), None), ((1280, 720), 6)],
)
def test_frames_are_those_of_the_decoder(page, tmp_path, size, matrix):
    path = tmp_path / "video.mp4"
    write_coloured(path, size, matrix)
    check_frames(page, path, [0, 3, 5])


@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [
        ("video.webm", "libvpx", "yuv420p"),  # colours are centred in WebM's codecs
        ("video.webm", "libvpx-vp9", "yuv420p"),
        ("video.webm", "libvpx", "yuva420p"),
        ("video.mp4", "libx264", "yuv422p"),
        ("video.mp4", "libx264", "yuv444p"),
        ("video.mp4", "libx264", "yuvj444p"),
        ("video.mp4", "libx264", "yuv420p10le"),
        ("video.mp4", "libx264", "yuv444p10le"),
        ("video.mp4", "libx264rgb", "rgb24"),
    ],
)
def test_frames_of_any_codec_and_pixel_format_are_those_of_the_decoder(
    page, tmp_path, name, codec, pixels
):
    path = tmp_path / name
    write_coloured(path, (322, 240), codec=codec, pixels=pixels)
    check_frames(page, path, [0, 5])


@pytest.mark.parametrize("pixels", ["yuv420p", "yuva420p"])
def test_videos_of_odd_sizes_and_with_alpha_are_drawn(page, tmp_path, pixels):
    path = tmp_path / "video.webm"
    write_coloured(path, (161, 121), codec="libvpx", pixels=pixels)
    open_file(page, path)
    set_threshold(page, 0)
    find(page, "the cross")
    drawn = tmp_path / "drawn.mp4"
    drawn.write_bytes(download(page, "Video with boxes"))
    info = reading.probe(str(drawn))
    assert (info.width, info.height) == (160, 120)


def test_boxes_are_drawn_where_pixels_that_are_not_square_are_shown(page, tmp_path):
    path = tmp_path / "video.mp4"
    write_coloured(path, (160, 240), aspect=fractions.Fraction(2))
    open_file(page, path)
    stage, canvas = (
        page.evaluate(
            "(name) => { const { width, height } ="
            " document.querySelector(name).getBoundingClientRect(); return width / height; }",
            name,
        )
        for name in ("#stage", "#overlay")
    )
    assert stage == pytest.approx(320 / 240, rel=0.02)
    assert canvas == pytest.approx(320 / 240, rel=0.02)
    fit = "getComputedStyle(document.querySelector('#overlay')).objectFit"
    assert page.evaluate(fit) == "fill"
    set_threshold(page, 0)
    find(page, "the cross")
    drawn = tmp_path / "drawn.mp4"
    drawn.write_bytes(download(page, "Video with boxes"))
    info = reading.probe(str(drawn))
    assert (info.width, info.height) == (320, 240)


@pytest.mark.parametrize(
    "matrix", [(0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0), (-1, 0, 0, 1), (0, 1, 1, 0)]
)
def test_turned_videos_give_the_upright_frames_of_the_decoder(page, tmp_path, matrix):
    path = tmp_path / "video.mp4"
    write_coloured(path, (320, 240))
    set_display_matrix(path, matrix)
    check_frames(page, path, [2])
    size = page.evaluate(
        "(({ width, height }) => [width, height])(document.querySelector('canvas'))"
    )
    info = reading.probe(str(path))
    assert size == [info.width, info.height]


def test_frames_of_a_sample_are_those_of_the_decoder(page):
    check_frames(page, VIDEO, [0, 7, 46])


def check_frames(page, path, numbers, levels=1):
    open_file(page, path)
    decoded = list(reading.decode_frames(str(path)))
    for number, frame in zip(numbers, frames_of(page, numbers), strict=True):
        difference = np.abs(frame.astype(int) - decoded[number])
        assert (difference.max(axis=-1) <= levels).mean() >= 0.99, number


def frames_of(page, numbers):
    """Frames of the opened video as the page gives them to the model."""
    # As text, since numbers in JSON take longer.
    found = page.evaluate(
        """async (numbers) => {
          const frames = await gkcmn.call("frames", { numbers });
          const text = (bytes) => Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
          return frames.map((frame) => btoa(text(frame)));
        }""",
        numbers,
    )
    return [np.frombuffer(base64.b64decode(text), np.uint8).reshape(224, 224, 3) for text in found]


def test_features_are_those_of_the_runner(page, runner):
    _, encoder = runner
    open_file(page, VIDEO)
    found = page.evaluate(
        "async () => (await gkcmn.call('features', { windows: [0, 6] })).map((f) => [...f])"
    )
    expected = encoder.encode(str(VIDEO), lambda _: [0, 6]).features.astype(np.float32)
    difference = np.abs(np.reshape(found, expected.shape) - expected)
    # Kernels round dynamic ranges differently: a few levels of 255 between 0 and the largest value.
    assert np.median(difference) < 0.01 * expected.std()
    assert np.sqrt(np.mean(difference**2)) < 0.1 * expected.std()


def test_the_files_are_those_of_the_programs(searched):
    shown = searched.locator(".results li").all_inner_texts()
    assert "Words that the model was not trained on: “flurble”, “dog”" in shown[1]
    lines = download(searched, "JSON").decode()
    source = source_of(VIDEO)
    answers = []
    for line in lines.splitlines():
        answer = json.loads(line)
        if answer.get("absent"):
            answers.append(tube_formats.Absent(answer["query"], answer["score"], source))
            continue
        tube = as_tube(answer)
        assert (answer["begin_seconds"], answer["end_seconds"]) == source.timeline.seconds(
            tube.begin, tube.end
        )
        clip = tuple(answer["clip"])
        known = {"sentence": answer["query"], "video": source, "clip": clip}
        answers.append(tubes.Tube(tube.begin, tube.end, tube.boxes, tube.score, **known))
    assert lines == tube_formats.format_answers(answers, "json")
    assert download(searched, "CSV").decode() == tube_formats.format_answers(answers, "csv")
    assert download(searched, "WebVTT").decode() == tube_formats.format_answers(answers, "webvtt")


def source_of(path):
    stream = reading.decode_frames(str(path))
    stream.read_timeline()
    return dataclasses.replace(stream.source, path=path.name)


def test_the_drawn_video_has_the_frames_of_the_file_and_the_boxes(searched, tmp_path):
    answers = [*map(json.loads, download(searched, "JSON").splitlines())]
    path = tmp_path / "drawn"
    path.write_bytes(download(searched, "Video with boxes"))
    drawn, plain = (list(reading.decode_frames(str(each), size=None)) for each in (path, VIDEO))
    changed = [
        (np.abs(one.astype(int) - other).mean(axis=-1) > 60).mean()
        for one, other in zip(drawn, plain, strict=True)
    ]
    first, second = (set(range(each["begin"], each["end"])) for each in answers)
    assert min(changed[frame] for frame in first) > 0.002
    # Encoding blurs borders in time.
    near = {frame + step for frame in first | second for step in (-1, 0, 1)}
    assert max(changed[frame] for frame in set(range(len(plain))) - near) < 0.001


def test_a_file_without_a_stem_gives_files_with_their_formats(page, tmp_path):
    path = tmp_path / ".mp4"
    path.write_bytes(VIDEO.read_bytes())
    open_file(page, path)
    set_threshold(page, 0)
    find(page, "the cross")
    with page.expect_download() as started:
        page.click("#downloads button:text-is('JSON')")
    assert started.value.suggested_filename == "video.jsonl"


def test_a_file_that_cannot_be_opened_leaves_results_in_sight(page, tmp_path):
    open_file(page, VIDEO)
    set_threshold(page, 0)
    found = find(page, "the cross")
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"this is not a video")
    open_file(page, path)
    page.wait_for_selector(".notice.bad")
    assert page.locator(".results li").all_inner_texts() == found
    assert find(page, "the cross") == found


def test_a_sentence_below_the_threshold_is_not_there(searched):
    set_threshold(searched, 1)
    assert "Not there: the best score is 0." in searched.inner_text(".results li >> nth=0")
    answer = json.loads(download(searched, "JSON").splitlines()[0])
    assert answer["absent"] is True and 0 < answer["score"] < 1
    assert download(searched, "WebVTT").decode().startswith("WEBVTT\n\nNOTE absent, score 0.")
    set_threshold(searched, 0)


def test_the_page_is_accessible(searched):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    searched.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    for width, scheme in itertools.product([1280, 400, 320], ["light", "dark"]):
        searched.set_viewport_size({"width": width, "height": 900})
        searched.emulate_media(color_scheme=scheme)
        results = axe.Axe().run(searched)
        assert results.violations_count == 0, results.generate_report()
        assert searched.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("content", [b"this is not a video\n" * 100, b""])
def test_a_file_that_is_no_video_is_refused_and_the_page_goes_on(page, tmp_path, content):
    path = tmp_path / "broken.mp4"
    path.write_bytes(content)
    open_file(page, VIDEO)
    open_file(page, path)
    assert "not a video that this page can read" in page.inner_text(".notice.bad")
    assert page.get_attribute("#seek", "max") == "47"  # the video before is still open
    open_file(page, VIDEO)
    assert page.locator(".notice.bad").count() == 0


def test_a_file_that_is_cut_off_is_used_as_far_as_it_goes(page, tmp_path):
    path = tmp_path / "cut.mp4"
    path.write_bytes(VIDEO.read_bytes()[:30_000])
    open_file(page, path)
    missing = int(re.search(r"its last (\d+) frames are missing", page.inner_text(".notice"))[1])
    assert page.get_attribute("#seek", "max") == str(48 - missing - 1)
    with av.open(str(VIDEO)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    stamps = sorted(packet.pts for packet in packets)
    last = max(packet.pts for packet in packets if packet.pos + packet.size <= 30_000)
    assert 48 - missing == stamps.index(last) + 1


def test_damaged_frames_are_explained(page, tmp_path):
    content = VIDEO.read_bytes()
    middle = content.index(b"mdat") + 8
    path = tmp_path / "broken.mp4"
    path.write_bytes(content[:middle] + bytes(len(content) - middle))
    open_file(page, path)
    assert find(page, "the cross") == []
    assert re.search("damaged|decode", page.inner_text(".notice.bad"))


def write_damaged(folder):
    """Writes `VIDEO` with a damaged packet; returns the path and the number of the frame."""
    content = bytearray(VIDEO.read_bytes())
    with av.open(str(VIDEO)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    last = packets[-1]  # no frame is decoded from it
    content[last.pos : last.pos + last.size] = bytes(last.size)
    path = folder / "broken.mp4"
    path.write_bytes(content)
    return path, sorted(packet.pts for packet in packets).index(last.pts)


def test_a_damaged_frame_is_replaced_by_the_one_before_it(page, tmp_path):
    path, number = write_damaged(tmp_path)
    open_file(page, path)
    before, damaged = frames_of(page, [number - 1, number])
    np.testing.assert_array_equal(before, damaged)
    set_threshold(page, 0)
    assert len(find(page, "the cross")) == 1
    assert "damaged, each replaced by the one before it: 1" in page.inner_text("#notices")


def test_sentences_without_words_are_refused(page):
    open_file(page, VIDEO)
    assert find(page, "?!") == []
    assert "contains no word" in page.inner_text(".notice.bad")


def test_a_file_of_200_megabytes_is_read_piece_by_piece(page, tmp_path):
    path = tmp_path / "large.mp4"
    size = 200_000_000
    with open(path, "wb") as file:
        file.write(VIDEO.read_bytes())
        file.write(size.to_bytes(4) + b"free")
        file.truncate(file.tell() + size - 8)
    check_frames(page, path, [20])


def test_long_videos_need_the_windows_that_steps_see(page, folder, tmp_path):
    path = tmp_path / "long.mp4"
    frames = (np.full((48, 64, 3), number % 200, np.uint8) for number in range(2000))
    writing.write_video(str(path), frames, 25)
    open_file(page, path)
    longest = json.loads((folder / "model" / "model.json").read_text())["longest_clip_seconds"]
    timeline = reading.read_timeline(str(path))
    for search in ("auto", "whole", "sliding"):
        expected = ClipSearch(12, longest, search=search)
        planned = call(page, "plan", part=PART | {"search": search})
        assert planned["clips"] == [*map(list, expected.clips(timeline))]
        assert planned["windows"] == len(expected.windows(timeline))
    page.fill("#sentences", "the red square moves left")
    page.click("#find")
    assert "This video is long" in page.inner_text("#notices .notice")


def test_a_search_can_be_cancelled(page):
    open_file(page, VIDEO)
    page.fill("#sentences", "the cross")
    page.click("#find")
    page.click("#cancel")
    page.wait_for_function("() => document.querySelector('#phase').textContent === 'Cancelled.'")
    assert page.locator(".results li").count() == 0


def test_a_search_that_waits_for_the_model_can_be_cancelled(browser, isolated):
    page = browser.new_page()
    page.set_default_timeout(MINUTES)
    page.route("**/i3d.tflite", lambda _: None)  # never answered
    page.goto(f"{isolated}?demo=off")
    page.wait_for_function("() => !document.querySelector('#play').disabled")
    page.fill("#sentences", "the cross")
    page.click("#find")
    page.click("#cancel")
    page.wait_for_function("() => document.querySelector('#phase').textContent === 'Cancelled.'")
    page.close()


def test_between_sentences_a_search_can_be_cancelled(page):
    open_file(page, VIDEO)
    find(page, "the cross")
    page.fill("#sentences", "\n".join(f"cross {number}" for number in range(500)))
    page.click("#find")
    page.click("#cancel")
    page.wait_for_function("() => document.querySelector('#phase').textContent === 'Cancelled.'")


def test_a_second_click_does_not_search_again(page):
    open_file(page, VIDEO)
    page.fill("#sentences", "the cross")
    page.evaluate(
        """() => {
          self.calls = [];
          const post = Worker.prototype.postMessage;
          Worker.prototype.postMessage = function (message, ...rest) {
            self.calls.push(message.action);
            return post.call(this, message, ...rest);
          };
        }"""
    )
    page.dblclick("#find")
    page.click("#cancel")
    page.wait_for_function("() => document.querySelector('#phase').textContent === 'Cancelled.'")
    assert page.evaluate("self.calls") in (["plan", "ground", "cancel"], ["plan", "cancel"])


def test_results_belong_to_the_video_that_was_chosen_last(page, tmp_path):
    other = tmp_path / "other.mp4"
    write_coloured(other, (64, 48))
    open_file(page, VIDEO)
    page.fill("#sentences", "the cross")
    # Opened while the search is planned, and while its first windows are encoded.
    for wait in ("", "await gkcmn.call('tokenize', { sentences: [] });"):
        page.evaluate(f"async () => {{ document.querySelector('#find').click(); {wait} }}")
        open_file(page, other)
        call(page, "tokenize", sentences=[])
        page.wait_for_function("() => !document.querySelector('#find').disabled")
        assert page.inner_text("#phase").startswith("other.mp4: 64 × 48")
        assert page.locator(".results li").count() == 0
        open_file(page, VIDEO)


def test_of_two_videos_the_one_chosen_last_is_opened(page, tmp_path):
    large, small = tmp_path / "large.mp4", tmp_path / "small.mp4"
    writing.write_video(
        str(large), (np.full((48, 64, 3), number % 200, np.uint8) for number in range(2000)), 25
    )
    write_coloured(small, (96, 48))
    page.set_input_files("#file", str(large))
    open_file(page, small)
    with contextlib.suppress(Exception):  # the first one is dropped
        call(page, "plan", part=PART)
    assert page.inner_text("#phase").startswith("small.mp4")
    assert call(page, "plan", part=PART)["clips"] == [[0, 6]]


def test_long_words_are_broken(page):
    open_file(page, VIDEO)
    set_threshold(page, 0)
    find(page, f"the {'x' * 10_000}")
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= page.viewport_size["width"]


def test_a_wrong_part_is_shown(page):
    open_file(page, VIDEO)
    page.evaluate("document.querySelector('#settings').open = false")
    page.evaluate("document.querySelector('#begin').value = '-1'")
    page.click("#find")
    assert page.evaluate("document.querySelector('#settings').open")
    page.fill("#begin", "")


@pytest.mark.parametrize(
    ("path", "answer", "message"),
    [
        ("worker.js", None, "The worker of this page cannot start"),
        ("model/model.json", '{"format": 0}', "of another version; export it again"),
        ("model/model.json", "<html>", "of another version; export it again"),
        (f"samples/{VIDEO.name}", None, "The sample cannot be downloaded (no network)"),
        ("model/i3d.tflite", None, "Could not download /model/i3d.tflite"),
    ],
)
def test_what_cannot_be_loaded_is_named(browser, isolated, path, answer, message):
    page = browser.new_page()
    page.set_default_timeout(MINUTES)
    page.route(
        f"**/{path}", lambda route: route.abort() if answer is None else route.fulfill(body=answer)
    )
    page.goto(f"{isolated}?demo=off")
    page.wait_for_selector(f".notice.bad:has-text('{message}')")
    page.evaluate("gkcmn.ready")
    assert page.locator(".notice").count() == 1
    page.close()


def test_the_keyboard_plays_and_steps(page):
    open_file(page, VIDEO)
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert "frame 1" in page.inner_text("#time")
    assert page.get_attribute("#seek", "aria-valuetext") == "Frame 1, 0.04 s"
    page.keyboard.press("Space")
    page.wait_for_selector("#play[aria-label=Pause]")
    assert not page.evaluate("document.querySelector('video').paused")
    page.keyboard.press("Space")
    page.wait_for_function("() => document.querySelector('video').paused")


def test_no_request_leaves_the_host(browser, isolated):
    context = browser.new_context()
    requests = []
    context.on("request", lambda request: requests.append(request.url))
    page = opened(context, isolated)
    assert page.locator(".results li").count() == 1
    assert len(requests) > 10
    assert [url for url in requests if not url.startswith((isolated, f"blob:{isolated}"))] == []
    refused = "fetch('http://localhost:9/').then(() => '', (error) => error.message)"
    with page.expect_console_message(lambda message: "Content Security Policy" in message.text):
        assert page.evaluate(refused)
    context.close()


@pytest.fixture(scope="module")
def without_webcodecs(browser, isolated):
    """A page whose browser has no WebCodecs, without a video."""
    context = browser.new_context()
    context.add_init_script("delete self.VideoDecoder")
    return opened(context, f"{isolated}?demo=off")


def test_without_webcodecs_the_page_seeks_the_same_frames(without_webcodecs, tmp_path):
    path = tmp_path / "numbered.mp4"
    pictures = (np.full((48, 64, 3), 20 + 7 * number, np.uint8) for number in range(30))
    writing.write_video(str(path), pictures, 25)
    open_file(without_webcodecs, path)
    assert "seeking in the video" in without_webcodecs.inner_text(".notice")
    decoded = [frame.mean() for frame in reading.decode_frames(str(path))]
    numbers = [0, 9, 10, 29]
    found = [frame.mean() for frame in frames_of(without_webcodecs, numbers)]
    assert np.argmin(np.abs(np.subtract.outer(found, decoded)), axis=1).tolist() == numbers


@pytest.mark.parametrize(
    ("name", "codec", "pixels", "matrix"),
    [
        ("video.mp4", "libx264", "yuv420p", None),
        ("video.mp4", "libx264", "yuv420p", 1),
        ("video.mp4", "libx264", "yuvj420p", None),
        ("video.webm", "libvpx-vp9", "yuv420p", None),
    ],
)
def test_without_webcodecs_colours_are_those_of_the_decoder(
    without_webcodecs, tmp_path, name, codec, pixels, matrix
):
    path = tmp_path / name
    write_coloured(path, (640, 360), matrix, codec=codec, pixels=pixels)
    check_frames(without_webcodecs, path, [0, 5], levels=3)


def test_without_webcodecs_high_definition_is_not_taken_as_bt601(without_webcodecs, tmp_path):
    path = tmp_path / "video.mp4"
    write_coloured(path, (1280, 720))
    open_file(without_webcodecs, path)
    [found], [decoded, *_] = frames_of(without_webcodecs, [0]), reading.decode_frames(str(path))
    # Colours that exist in BT.601 only are clipped by the player.
    assert np.abs(found.astype(int) - decoded).mean() < 3


def test_without_webcodecs_damaged_frames_are_replaced(without_webcodecs, tmp_path):
    path, number = write_damaged(tmp_path)
    open_file(without_webcodecs, path)
    # The player loses some frames before it too.
    first, before, damaged = frames_of(without_webcodecs, [0, 20, number])
    np.testing.assert_array_equal(before, damaged)
    assert (first != damaged).any()
    set_threshold(without_webcodecs, 0)
    assert len(find(without_webcodecs, "the cross")) == 1
    assert "damaged, each replaced by the one before it" in without_webcodecs.inner_text("#notices")


def test_without_webcodecs_sentences_are_found(without_webcodecs, tmp_path):
    open_file(without_webcodecs, VIDEO)
    path = tmp_path / "old.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        container.mux(stream.encode())
    open_file(without_webcodecs, path)
    assert "cannot decode this file (video codec mp4v)" in without_webcodecs.inner_text(
        ".notice.bad"
    )
    # The video before is still open.
    assert len(find(without_webcodecs, FOUND[0])) == 1
    assert "seeking in the video" in without_webcodecs.inner_text(".notice")
    assert without_webcodecs.is_hidden("#download-video")


def test_the_last_of_two_chosen_videos_is_shown(page):
    page.evaluate(
        "[1, 2].forEach((number) => document.querySelectorAll('#samples button')[number].click())"
    )
    name = os.path.basename(SAMPLES[2].video)
    page.wait_for_function(
        "name => document.querySelector('#phase').textContent.startsWith(name)", arg=name
    )
    buttons = page.locator("#samples button")
    pressed = [each.get_attribute("aria-pressed") == "true" for each in buttons.all()]
    assert pressed == [number == 2 for number in range(len(SAMPLES))]
    assert page.input_value("#sentences") == SAMPLES[2].sentences[0]


def test_a_file_that_only_the_player_cannot_read_is_explained(page, tmp_path):
    path = tmp_path / "stream.ts"
    with av.open(str(VIDEO)) as source, av.open(str(path), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is not None:
                packet.stream = copy
                target.mux(packet)
    check_frames(page, path, [20])
    page.wait_for_selector("#unplayable:visible")
    open_file(page, VIDEO)
    assert page.is_hidden("#unplayable")


def test_the_model_card_is_shown(searched, folder):
    searched.evaluate("document.querySelector('details:has(.card)').open = true")
    card = (folder / "model" / "README.md").read_text()
    searched.wait_for_function(
        "card => document.querySelector('.card').textContent === card", arg=card
    )


def test_webgpu_that_does_not_work_falls_back_to_the_processor(browser, isolated):
    page = opened(browser, f"{isolated}?demo=off&gpu=on")
    assert page.is_checked("#gpu")
    assert "Runs on the processor" in page.text_content("#engine")
    page.close()
