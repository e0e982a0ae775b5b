r"""Exports a trained model as a web page that grounds sentences in the browser.

Example:
    python -m export.web --preset=gkcmn_shapes
    python -m export.web --preset=runs/demo --output_dir=page --serve

The folder contains static files only: the page, both networks for LiteRT.js, the model card and the
sample videos. Any static host can publish it, in any folder. Videos never leave the browser.

Without --output_dir, the page is written to a cache folder, served on this machine and opened in
the browser. --serve does the same for --output_dir.

Browsers run the networks in several threads only if the page is isolated from other origins. The
server of this program sends the headers for it (Cross-Origin-Opener-Policy and
Cross-Origin-Embedder-Policy). On other hosts a service worker of the page adds them.
"""

import errno
import functools
import hashlib
import http
import http.server
import io
import json
import os
import pathlib
import sys
import typing
import unicodedata
import urllib.parse
import webbrowser
from collections.abc import Iterable
from typing import Any

from absl import app, flags, logging
from PIL import Image

import gkcmn_tf
from gkcmn_tf import preset, program, sample_videos
from gkcmn_tf.files import read_json, write_bytes, write_json
from gkcmn_tf.folder_lock import LOCK_FILE, folder_lock
from gkcmn_tf.searched_clips import longest_training_clip
from gkcmn_tf.text.tokenization import Tokenizer
from gkcmn_tf.trained_model import TrainedModel
from gkcmn_tf.video import reading

FLAGS = flags.FLAGS
DEFAULT_PRESET = "gkcmn_shapes"
FACTS_FILE = os.path.join("model", "model.json")
MODEL_FILES = tuple(os.path.join("model", f"{name}.tflite") for name in ("grounding", "i3d"))
FACTS_FORMAT = 1
# Dynamic ranges give the tubes of float32 and are the fastest in browsers; see docs/litert.md.
I3D_QUANTIZATION, GROUNDING_QUANTIZATION = "dynamic", "float16"
POSTER_PIXELS = 128
HOST = "127.0.0.1"
# Other names are those of pages that had their name resolved to this machine to read its files.
OWN_NAMES = ("127.0.0.1", "localhost", "::1")
ASSETS = pathlib.Path(__file__).parent / "web_page" / "dist"

HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
# As in index.html, for workers too, which do not inherit the policy of a page.
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "
    "img-src 'self' blob:; media-src 'self' blob:; connect-src 'self'; worker-src 'self'; "
    "base-uri 'none'; form-action 'none'"
)


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_string(
        "preset",
        DEFAULT_PRESET,
        "Trained model: name or folder of a preset, hf://owner/name, or folder of a run of "
        "gkcmn_tf.train.",
    )
    flags.DEFINE_string("output_dir", None, "Output folder; default: a cache folder, served.")
    flags.DEFINE_string(
        "samples",
        None,
        'Sample videos, a JSON file: [{"video": path, "sentences": [...]}, ...], with paths '
        "relative to the file; default: those of the package, if the model knows their words.",
    )
    flags.DEFINE_string(
        "i3d_weights", None, "Location of the I3D weights; default: the location used in training."
    )
    flags.DEFINE_boolean("serve", False, "Serve the page on this machine and open it.")
    flags.DEFINE_integer(
        "port", 0, "Port of --serve; default: any free port.", lower_bound=0, upper_bound=65535
    )
    flags.DEFINE_boolean("browser", True, "Open the served page in the browser.")


def main(argv):
    """Exports the page and, if wanted, serves it until Ctrl-C."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    logging.set_verbosity(logging.INFO)
    source = preset.find(FLAGS.preset)
    folder = FLAGS.output_dir or cache_folder(source, FLAGS.samples, FLAGS.i3d_weights)
    if FLAGS.output_dir:
        export(source, folder, samples_file=FLAGS.samples, i3d_weights=FLAGS.i3d_weights)
        if not FLAGS.serve:
            return
    elif not _is_whole(folder):
        # An incomplete page in the cache is written again.
        with folder_lock(folder):
            _write(source, folder, FLAGS.samples, FLAGS.i3d_weights)
    with make_server(folder, FLAGS.port) as server:
        address = f"http://{HOST}:{server.server_port}/"
        print(f"{address} shows the page; end with Ctrl-C", flush=True)
        if FLAGS.browser:
            webbrowser.open(address)
        server.serve_forever()


def export(
    source: str, folder: str, *, samples_file: str | None = None, i3d_weights: str | None = None
) -> None:
    """Writes the page of a trained model; `index.html` is written last.

    Args:
        source: folder of a preset or of a run.
        folder: output folder, new or with a page, which is replaced.
        samples_file: JSON file of the sample videos; default: those of the package, if the model
            knows their words.
        i3d_weights: location of the I3D weights; default: the location used in training.

    Raises:
        FileNotFoundError: the built scripts of the page, the model or a sample does not exist.
        ValueError: `folder` has other files or is in use, `samples_file` is invalid, or the I3D
            weights differ from those of training.
    """
    with folder_lock(folder):
        _check_replaceable(folder)
        _write(source, folder, samples_file, i3d_weights)


def _write(source, folder, samples_file, i3d_weights) -> None:
    # Imported here since they need TensorFlow, and serving an exported page does not.
    from . import networks, tflite  # noqa: PLC0415

    check_assets()
    trained = preset.load(source)
    samples = read_samples(samples_file, trained.tokenizer)
    shapes = networks.grounding(trained, details=True)
    grounding, i3d = MODEL_FILES
    config, card = preset.describe(trained)
    files = {
        grounding: tflite.network_file(shapes, GROUNDING_QUANTIZATION),
        i3d: tflite.network_file(networks.i3d(trained.features, i3d_weights), I3D_QUANTIZATION),
        os.path.join("model", preset.CARD_FILE): card.encode(),
    }
    shown = []
    for video, sentences in samples:
        described, contents = _sample(video, sentences)
        shown.append(described)
        files |= contents
    index = os.path.join(folder, "index.html")
    if os.path.exists(index):
        os.remove(index)
    for name, content in files.items():
        write_bytes(os.path.join(folder, name), content)
    facts = model_facts(trained, config) | {"samples": shown}
    write_json(os.path.join(folder, FACTS_FILE), facts, indent=None)
    assets = _assets()
    _remove_others(folder, {*files, FACTS_FILE, *assets})
    for name in assets:
        write_bytes(os.path.join(folder, name), (ASSETS / name).read_bytes())
    size = sum(path.stat().st_size for path in pathlib.Path(folder).rglob("*") if path.is_file())
    logging.info("%s: %.1f MB", folder, size / 1e6)


def check_assets() -> None:
    """Raises `FileNotFoundError` if the scripts of the page are not built."""
    if not (ASSETS / "index.html").exists():
        raise FileNotFoundError(
            f"{ASSETS}: the scripts of the page are not built; build them with: make web-assets"
        )


def model_facts(trained: TrainedModel, config: dict) -> dict[str, Any]:
    """What the page needs to know of the model: vocabulary, settings, training data, limits.

    Args:
        trained: the model.
        config: content of the `config.json` of its preset.
    """
    about, features = trained.about, trained.features
    return {
        "format": FACTS_FORMAT,
        "name": about.get("name", config["class_name"]),
        "description": about.get("description", ""),
        "limits": about.get("limits", ""),
        "network": f"{config['class_name']}, {config['parameters']:,} parameters",
        "data": about.get("data", ""),
        "date": about.get("date", ""),
        "i3d": f"I3D {features['endpoint']}, weights {features['i3d_source']}",
        "metrics": about.get("metrics") or {},
        "evaluated_on": about.get("evaluated_on", ""),
        "training": about.get("training"),
        "tokens": trained.tokenizer.tokens,
        "unassigned": unassigned_characters(),
        "max_words": trained.tokenizer.max_words,
        "max_steps": trained.max_steps,
        "longest_clip_seconds": longest_training_clip(about),
        "features": {
            "fps": features.get("fps"),
            "shape": features["shape"],
            "storage_dtype": features.get("storage_dtype", "float16"),
        },
        # The paper's threshold of confidence, which the scores were trained with.
        "threshold": config["config"].get("score_threshold", 0.0),
    }


@functools.cache
def unassigned_characters() -> list[tuple[int, int]]:
    """Ranges `(first, last)` of code points without a character in Python's Unicode version."""
    ranges: list[tuple[int, int]] = []
    for code in range(sys.maxunicode + 1):
        if unicodedata.category(chr(code)) != "Cn":
            continue
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1] = (ranges[-1][0], code)
        else:
            ranges.append((code, code))
    return ranges


def read_samples(path: str | None, tokenizer: Tokenizer) -> list[tuple[str, list[str]]]:
    """Returns the videos and sentences of the samples.

    Args:
        path: JSON file; None for the samples of the package, of which there are none if the model
            does not know their words.
        tokenizer: tokenizer of the model.

    Raises:
        FileNotFoundError: the file or a video does not exist.
        ValueError: the file is not a list of samples.
    """
    if path is None:
        packaged = [(each.video, list(each.sentences)) for each in sample_videos.samples()]
        sentences = [sentence for _, each in packaged for sentence in each]
        return packaged if tokenizer.unknown_share(sentences) == 0 else []
    entries = read_json(path)
    samples = []
    for number, entry in enumerate(entries if isinstance(entries, list) else [entries]):
        valid = isinstance(entry, dict) and isinstance(entry.get("video"), str)
        sentences = entry.get("sentences") if valid else None
        if not isinstance(sentences, list) or not all(isinstance(each, str) for each in sentences):
            raise ValueError(
                f'{path}: entry {number}: expected {{"video": path, "sentences": [text, ...]}}'
            )
        video = os.path.join(os.path.dirname(path), entry["video"])
        if not os.path.exists(video):
            raise FileNotFoundError(f"{video}: no such video; it is entry {number} of {path}")
        samples.append((video, sentences))
    names = [os.path.basename(video) for video, _ in samples]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{path}: expected videos with distinct file names, got {repeated}")
    return samples


def cache_folder(source: str, samples_file: str | None, i3d_weights: str | None) -> str:
    """Folder of a page in the user's cache; another one if the model or the page changes.

    Args:
        source: folder of a preset or of a run.
        samples_file: see `export`.
        i3d_weights: see `export`.
    """
    root = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    used = [*_stamps(pathlib.Path(source)), *_stamps(ASSETS)]
    if samples_file is not None:
        used += _stamps(pathlib.Path(samples_file))
    described = [gkcmn_tf.__version__, FACTS_FORMAT, i3d_weights, used]
    key = hashlib.sha256(json.dumps(described).encode()).hexdigest()[:16]
    return os.path.join(root, "gkcmn-tf", "web", key)


def make_server(folder: str, port: int = 0) -> http.server.ThreadingHTTPServer:
    """Returns a server of a page on this machine, with the headers for threads.

    Args:
        folder: folder of the page.
        port: port; 0 for any free one.

    Raises:
        ValueError: another program uses the port, or this one may not.
    """
    try:
        return Server((HOST, port), functools.partial(Handler, directory=folder))
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        raise ValueError(f"port {port}: {error.strerror}; choose another --port") from error


class Server(http.server.ThreadingHTTPServer):
    """Server that says nothing about browsers that close a connection."""

    def handle_error(self, request, client_address):
        """Prints the traceback of other errors."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves static files with the headers of an isolated page."""

    # Not those of the system, which may be wrong.
    extensions_map: typing.ClassVar = {
        "": "application/octet-stream",
        ".css": "text/css; charset=utf-8",
        ".gz": "application/gzip",
        ".html": "text/html; charset=utf-8",
        ".jpg": "image/jpeg",
        ".js": "text/javascript; charset=utf-8",
        ".json": "application/json",
        ".md": "text/plain; charset=utf-8",
        ".mp4": "video/mp4",
        ".svg": "image/svg+xml",
        ".txt": "text/plain; charset=utf-8",
        ".webm": "video/webm",
    }

    def send_head(self):
        """Refuses requests for other hosts, and names that no file can have."""
        host = self.headers.get("Host")
        if host is not None and _host_name(host) not in OWN_NAMES:
            self.send_error(http.HTTPStatus.MISDIRECTED_REQUEST)
            return None
        if "\0" in urllib.parse.unquote(self.path):
            self.send_error(http.HTTPStatus.NOT_FOUND)
            return None
        return super().send_head()

    def list_directory(self, path):
        """Folders are not listed, as on most hosts."""
        self.send_error(http.HTTPStatus.NOT_FOUND)

    def end_headers(self):
        """Adds the headers."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Security-Policy", POLICY)
        super().end_headers()

    def log_message(self, format, *args):
        """Requests are not logged."""


def _stamps(path: pathlib.Path) -> list[tuple[str, int, int]]:
    """Names, sizes and times of change of a file or of all files in a folder."""
    files: Iterable[pathlib.Path] = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [
        (str(file), file.stat().st_size, file.stat().st_mtime_ns)
        for file in files
        if file.is_file()
    ]


def _check_replaceable(folder: str) -> None:
    if os.path.exists(os.path.join(folder, FACTS_FILE)):
        return
    # A write that was interrupted leaves the folder `model` first.
    if set(os.listdir(folder)) - {"model", "samples", LOCK_FILE}:
        raise ValueError(f"{folder}: has other files than a page; choose another --output_dir")


def _is_whole(folder: str) -> bool:
    names = (*MODEL_FILES, FACTS_FILE, *_assets())
    return all(os.path.exists(os.path.join(folder, name)) for name in names)


def _assets() -> list[str]:
    """Names of the built files, relative to their folder; `index.html` is the last."""
    names = [str(path.relative_to(ASSETS)) for path in ASSETS.rglob("*") if path.is_file()]
    return sorted(names, key=lambda name: (name == "index.html", name))


def _remove_others(folder: str, names: set[str]) -> None:
    """Removes files of a replaced page that the new one does not have, such as its samples."""
    for part in {os.path.dirname(name) for name in names} - {""} | {"samples"}:
        for path in pathlib.Path(folder, part).glob("*"):
            if path.is_file() and os.path.join(part, path.name) not in names:
                path.unlink()


def _host_name(host: str) -> str | None:
    """Name in a header `Host`; None if it is malformed."""
    try:
        return urllib.parse.urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _sample(video: str, sentences: list[str]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Entry of a sample in the facts, and its files."""
    name = os.path.basename(video)
    files = {
        os.path.join("samples", name): pathlib.Path(video).read_bytes(),
        os.path.join("samples", f"{name}.jpg"): _poster(video),
    }
    address = f"samples/{urllib.parse.quote(os.fsencode(name))}"
    entry = {
        "video": address,
        "poster": f"{address}.jpg",
        "sentences": list(dict.fromkeys(sentences)),
    }
    return entry, files


def _poster(video: str) -> bytes:
    """A small picture of a video, as JPEG."""
    stream = reading.decode_frames(video, size=None)
    middle = stream.info.declared_frames // 2
    picture = None
    for number, frame in enumerate(stream):
        picture = frame
        if number == middle:
            break
    image = Image.fromarray(picture)
    image.thumbnail((POSTER_PIXELS, POSTER_PIXELS))
    content = io.BytesIO()
    image.save(content, "JPEG", quality=80)
    return content.getvalue()


if __name__ == "__main__":
    program.run(main, define_flags)
