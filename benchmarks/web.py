r"""Measures the web page in headless Chromium: download, time to the first tube, memory, agreement.

Example:
    python -m benchmarks.web --output_dir=runs/web --records_dir=runs/demo/records \
        --video_dir=runs/demo/shapes/videos

The page of a preset is exported to --output_dir and opened with an empty cache: first with its
first sample, then with a video of 20 seconds made from the samples, which is searched in
overlapping clips and as one clip. With --records_dir, all sentences about all videos of a split are
grounded by the page and by `export.run_tflite` with the same files, and the IoUs of their tubes are
printed. Needs Chromium and Playwright.
"""

import contextlib
import itertools
import json
import os
import pathlib
import shutil
import threading
import time

import numpy as np
import psutil
import tqdm
from absl import flags, logging

import gkcmn_tf
from export import run_tflite, web
from gkcmn_tf import preset, program, searched_clips, tubes
from gkcmn_tf.evaluation import metrics
from gkcmn_tf.files import write_json
from gkcmn_tf.records import clip_records
from gkcmn_tf.video import reading, writing

FLAGS = flags.FLAGS
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LONG_FRAMES, LONG_FPS, LONG_SIZE = 500, 25, 256
TIMEOUT = 1_800_000  # milliseconds


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_string("output_dir", None, "Output folder.", required=True)
    flags.DEFINE_string("preset", web.DEFAULT_PRESET, "Preset, as for gkcmn_tf.ground.")
    flags.DEFINE_string("records_dir", None, "Records with sentences; default: only the samples.")
    flags.DEFINE_string("video_dir", None, "Folder with the videos of the records.")
    flags.DEFINE_string("split", "test", "Split of the records.")


def main(argv):
    """Exports the page, measures it and writes `web.json`."""
    del argv
    logging.set_verbosity(logging.INFO)
    folder = os.path.join(FLAGS.output_dir, "page")
    web.export(preset.find(FLAGS.preset), folder)
    long_video = os.path.join(FLAGS.output_dir, "long.mp4")
    writing.write_video(long_video, long_frames(), LONG_FPS)
    report = {"cores": len(os.sched_getaffinity(0))}
    with serving(web.make_server(folder)) as address, launched_browser() as browser:
        report |= first_sample(browser, address)
        report |= from_file(browser, address, long_video)
        print(json.dumps(report), flush=True)
        if FLAGS.records_dir:
            clips = list(clip_records.read_clips(FLAGS.records_dir, FLAGS.split))
            report |= agreement(browser, address, folder, clips)
    write_json(os.path.join(FLAGS.output_dir, "web.json"), report)
    print(json.dumps(report))


def long_frames():
    """Frames of the samples, one after the other."""
    videos = itertools.cycle(sample.video for sample in gkcmn_tf.samples())
    frames = (frame for video in videos for frame in reading.decode_frames(video, LONG_SIZE))
    return itertools.islice(frames, LONG_FRAMES)


@contextlib.contextmanager
def serving(server):
    """Serves in a thread; yields the address."""
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{web.HOST}:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def find_browser():
    """Path of a browser of the system; None if there is none."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


@contextlib.contextmanager
def launched_browser():
    """Yields a headless browser."""
    from playwright import sync_api  # noqa: PLC0415 - an optional package

    path = find_browser()
    if path is None:
        raise FileNotFoundError(f"no browser; install one of {', '.join(BROWSERS)}")
    with sync_api.sync_playwright() as playwright:
        # The sandbox needs a user other than root.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def first_sample(browser, address):
    """Opens the page with an empty cache until the tube of its first sample is shown."""
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(TIMEOUT)
    sizes = []
    page.on("requestfinished", lambda request: sizes.append(request.sizes()["responseBodySize"]))
    start, start_cpu = time.perf_counter(), cpu_seconds()
    page.goto(address)
    page.wait_for_selector(".results li")
    seconds, cpu = time.perf_counter() - start, cpu_seconds() - start_cpu
    memory = memory_mb()
    engine = page.text_content("#engine")
    context.close()
    return {
        "engine": engine,
        "download_mb": sum(sizes) / 1e6,
        "sample_first_tube_s": seconds,
        "sample_first_tube_cpu_s": cpu,
        "sample_memory_mb": memory,
    }


def from_file(browser, address, video):
    """Grounds a sentence in a video file with the model loaded, in overlapping clips and whole."""
    found = {}
    for search in (searched_clips.SLIDING, searched_clips.WHOLE):
        page = opened(browser, address)
        start, start_cpu = time.perf_counter(), cpu_seconds()
        result = ground(page, video, ["the red square moves left"], search)
        found |= {
            f"long_{search}_s": time.perf_counter() - start,
            f"long_{search}_cpu_s": cpu_seconds() - start_cpu,
            f"long_{search}_clips": len(result["clips"]),
            f"long_{search}_memory_mb": memory_mb(),
        }
        page.close()
    return found


def opened(browser, address):
    """A page that has loaded its model."""
    page = browser.new_page()
    page.set_default_timeout(TIMEOUT)
    page.goto(f"{address}?demo=off")
    page.evaluate("gkcmn.ready")
    return page


def ground(page, video, sentences, search):
    """Returns the worker's answer for the sentences about a video file."""
    page.set_input_files("#file", video)
    page.wait_for_function(
        "(name) => document.querySelector('#phase').textContent.startsWith(name)",
        arg=f"{os.path.basename(video)}: ",
    )
    return page.evaluate(
        """async ([sentences, search]) => {
          const part = { begin: null, end: null, search };
          const { clips, results } = await gkcmn.call("ground", { sentences, part });
          return { clips, tubes: results.map((result) => result.tubes[0]) };
        }""",
        [sentences, search],
    )


def cpu_seconds():
    """CPU time of the browser so far, which depends less on other programs than the time."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def memory_mb():
    """Resident memory of the largest process of the browser, the page with its workers, in MB."""
    sizes = [0]
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            sizes.append(process.memory_info().rss)
    return max(sizes) / 1e6


def agreement(browser, address, folder, clips):
    """IoUs of the page's tubes and of those of `export.run_tflite`, all sentences of `clips`."""
    videos = {path.stem: str(path) for path in pathlib.Path(FLAGS.video_dir).rglob("*.mp4")}
    grounder = run_tflite.Grounder(os.path.join(folder, "model", "grounding.tflite"), 1)
    encoder = run_tflite.Encoder(os.path.join(folder, "model", "i3d.tflite"), grounder.features, 1)
    page = opened(browser, address)
    temporal, boxes = [], []
    by_video = {}
    for clip in clips:
        sentences = by_video.setdefault(clip.video_id, [])
        sentences += [sentence.text for sentence in clip.sentences]
    for video_id, sentences in tqdm.tqdm(by_video.items(), unit="video"):
        path = videos[video_id]
        found = ground(page, path, sentences, searched_clips.AUTO)["tubes"]
        expected = expected_tubes(encoder, grounder, path, sentences)
        for answer, tube in zip(found, expected, strict=True):
            made = tubes.Tube(answer["begin"], answer["end"], np.array(answer["boxes"]))
            temporal.append(metrics.temporal_iou((made.begin, made.end), (tube.begin, tube.end)))
            shared = np.arange(max(made.begin, tube.begin), min(made.end, tube.end))
            if len(shared):
                boxes += metrics.box_iou(made.boxes_at(shared), tube.boxes_at(shared)).tolist()
    return {
        "videos": len(by_video),
        "sentences": len(temporal),
        "mean_temporal_iou": float(np.mean(temporal)),
        "same_segment": float(np.mean(np.array(temporal) == 1)),
        "mean_box_iou": float(np.mean(boxes)),
    }


def expected_tubes(encoder, grounder, path, sentences):
    """Tubes of `export.run_tflite`."""
    search = grounder.clip_search()
    encoded = encoder.encode(path, search.windows)
    clips = search.clips(encoded.source.timeline)
    return [grounder.search(encoded, sentence, clips) for sentence in sentences]


if __name__ == "__main__":
    program.run(main, define_flags)
