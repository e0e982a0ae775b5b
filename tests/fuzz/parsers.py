"""The parsers of untrusted files, each with valid files and its documented errors; no tests."""

import dataclasses
import gzip
import hashlib
import io
import json
import os
import pathlib
import pickle
import sys
from collections.abc import Callable

import numpy as np
import yaml
from hypothesis import strategies as st

from data import custom, hcstvg, vidstg
from gkcmn_tf import config, preset
from gkcmn_tf.encoded_video import EncodedVideo
from gkcmn_tf.evaluation import tube_files
from gkcmn_tf.features import feature_records, fingerprint
from gkcmn_tf.i3d import array_pickle
from gkcmn_tf.records import clip_records
from gkcmn_tf.text import glove
from gkcmn_tf.text.tokenization import Tokenizer
from gkcmn_tf.trained_model import TrainedModel
from gkcmn_tf.video import writing
from gkcmn_tf.video.frame_rates import SourceVideo, Timeline
from tests.fuzz.inputs import edited, mutated, to_text

FINGERPRINT = {
    "i3d_source": "random:0",
    "i3d_sha256": "0",
    "endpoint": "Mixed_5c",
    "compute_dtype": "float32",
    "fps": 5.0,
    "shape": [7, 7, 3],
}


@dataclasses.dataclass(frozen=True)
class Parser:
    """A function that reads an untrusted file.

    Attributes:
        name: name of the parser.
        read: reads a file; raises `AssertionError` if the result is inconsistent.
        valid: contents of valid files.
        inputs: strategy for contents.
        errors: documented exceptions.
        share: part of the usual number of inputs, for slow parsers.
        is_named: whether messages must name the file.
    """

    name: str
    read: Callable[[str], object]
    valid: tuple[bytes, ...]
    inputs: st.SearchStrategy[bytes]
    errors: tuple[type[Exception], ...] = (ValueError, FileNotFoundError)
    share: float = 1.0
    is_named: bool = True

    def check(self, path: str, content: bytes) -> str:
        """Writes `content` to `path` and reads it; returns the error message, or "".

        Raises:
            AssertionError: an undocumented error, or one that does not name the file.
        """
        pathlib.Path(path).write_bytes(content)
        try:
            self.read(path)
        except self.errors as error:
            named = not self.is_named or os.path.basename(path) in str(error)
            assert named, f"{self.name}: the error does not name the file: {error!r}"
            return str(error)
        return ""


def make_parsers(folder: pathlib.Path) -> dict[str, Parser]:
    """All parsers by name; the other files that they need are written to `folder`."""
    made = [
        _vidstg(folder),
        _vidor(folder),
        _hcstvg(),
        _custom(folder, "jsonl"),
        _custom(folder, "csv"),
        _json("predictions", tube_files.load_predictions, PREDICTIONS),
        _json("ground_truth", tube_files.load_ground_truth, GROUND_TRUTH),
        _json("features_json", fingerprint.read_fingerprint, FINGERPRINT),
        *_glove(folder),
        *_config(),
        _clips(folder),
        _features(folder),
        _encoded_video(folder),
        _array_pickle(),
        *_preset(folder),
    ]
    return {parser.name: parser for parser in made}


def _json(name, read, *values, **options):
    """A parser of JSON files."""
    texts = [json.dumps(value).encode() for value in values]
    structured = [edited(value).map(_to_bytes) for value in values]
    inputs = st.one_of(*structured, *structured, *map(mutated, texts), st.binary(max_size=50))
    return Parser(name, read, tuple(texts), inputs, **options)


def _to_bytes(value):
    return to_text(value).encode("utf-8", "surrogatepass")


def _account(account, annotations):
    """Each sentence is kept or skipped with a reason."""
    total = account.sentences.total()
    assert annotations.kept + len(annotations.skipped) == total
    assert all(skipped.reason for skipped in annotations.skipped)
    for clip in annotations.clips:
        assert clip.begin < clip.end
        for sentence in clip.sentences:
            assert sentence.text and sentence.boxes.shape == (sentence.end - sentence.begin, 4)
            assert np.isfinite(sentence.boxes).all()


BOXES = [{"tid": 0, "bbox": {"xmin": 8, "ymin": 8, "xmax": 24, "ymax": 32}}]
VIDOR = {
    "video_id": "1",
    "video_path": "g0/1.mp4",
    "frame_count": 4,
    "fps": 25,
    "width": 64,
    "height": 48,
    "subject/objects": [{"tid": 0, "category": "dog"}],
    "trajectories": [BOXES, [], BOXES, BOXES],
}
VIDSTG = [
    {
        "vid": "1",
        "fps": 25,
        "frame_count": 40,
        "used_segment": {"begin_fid": 0, "end_fid": 39},
        "width": 64,
        "height": 48,
        "temporal_gt": {"begin_fid": 1, "end_fid": 4},
        "captions": [{"description": "a dog runs.", "target_id": 0}],
        "questions": [{"description": "who runs?", "target_id": 0}],
    }
] * 2


def _link(path, folder, name):
    """Makes a file available under the name that a reader expects."""
    place = folder / name
    place.unlink(missing_ok=True)
    place.hardlink_to(path)


def _vidstg(folder):
    vidor = folder / "vidor.json"
    vidor.write_text(json.dumps(VIDOR))

    def read(path):
        where = os.path.dirname(path)
        vidstg.read_segments("val", where)
        account = vidstg.account_split("val", where)
        _account(account, vidstg.read_split("val", where, {"1": str(vidor)}))

    return _json("val_annotations.json", read, VIDSTG)


def _vidor(folder):
    records = folder / "vidstg"
    records.mkdir()
    (records / "val_annotations.json").write_text(json.dumps(VIDSTG))
    account = vidstg.account_split("val", str(records))

    def read(path):
        annotations = vidstg.read_split("val", str(records), {"1": path})
        _account(account, annotations)

    return _json("vidor", read, VIDOR)


HCSTVG = {
    "caption": "The man sits.",
    "bbox": [[8, 8, 16, 24]] * 3,
    "st_frame": 11,
    "st_time": 0.5,
    "ed_time": 0.6,
    "img_num": 480,
    "width": 64,
    "height": 48,
}
HCSTVG_V2 = {
    "English": "The man sits.",
    "bbox": [[8, 8, 16, 24]] * 3,
    "st_frame": 11,
    "st_time": 0.5,
    "ed_time": 0.6,
    "img_num": 480,
    "img_size": [48, 64],
}


def _hcstvg():
    def read(path):
        where = os.path.dirname(path)
        _account(hcstvg.account_split("train", where), hcstvg.read_split("train", where, {}))

    records = {"a.mp4": HCSTVG, "b.mp4": HCSTVG}
    return _json("train.json", read, records, {"a.mp4": HCSTVG_V2})


CUSTOM = {
    "video": "a.mp4",
    "sentence": "a dog runs.",
    "begin": 1,
    "end": 3,
    "boxes": {"1": [8, 8, 24, 32], "2": [8, 8, 24, 32]},
}
CUSTOM_SECONDS = CUSTOM | {"units": "seconds", "begin": 0.1, "end": 0.2, "clip_begin": 0}
CUSTOM_SECONDS |= {"boxes": {"0.12": [8, 8, 24, 32]}, "id": "mine", "qtype": "interrogative"}


def _custom(folder, suffix):
    videos = folder / f"videos_{suffix}"
    frames = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3)).astype(np.uint8)
    writing.write_video(str(videos / "a.mp4"), frames, 25)

    def read(path):
        where = os.path.dirname(path)
        annotations = custom.read_split("val", where, str(videos))
        assert all(skipped.reason for skipped in annotations.skipped)
        ids = [sentence.id for clip in annotations.clips for sentence in clip.sentences]
        assert len(set(ids)) == len(ids)

    lines = [CUSTOM, CUSTOM_SECONDS]
    if suffix == "jsonl":
        content = "".join(f"{json.dumps(line)}\n" for line in lines).encode()
        structured = edited(lines).map(
            lambda value: b"\n".join(_to_bytes(line) for line in _items(value))
        )
    else:
        header = list(CUSTOM_SECONDS)
        content = _csv([header, *([line.get(name, "") for name in header] for line in lines)])
        rows = [header, *([line.get(name, "") for name in header] for line in lines)]
        structured = edited(rows).map(_csv)
    inputs = structured | mutated(content)
    return Parser(f"val.{suffix}", read, (content,), inputs)


def _items(value):
    return value if isinstance(value, list) else [value]


def _csv(rows):
    def cell(value):
        text = value if isinstance(value, str) else to_text(value)
        return '"' + text.replace('"', '""') + '"'

    lines = [",".join(map(cell, _items(row))) for row in rows]
    return "\n".join(lines).encode("utf-8", "surrogatepass")


PREDICTIONS = {
    "a": {"begin": 3, "end": 5, "boxes": {"3": [1, 2, 3, 4], "4": [1, 2, 3, 4]}, "score": 0.9},
    "b": None,
}
GROUND_TRUTH = [
    {
        "id": "a",
        "vid": "v",
        "qtype": "declarative",
        "width": 640,
        "height": 360,
        "fps": 25.0,
        "frame_count": 400,
        "clip": {"begin": 0, "end": 300},
        "gt": {"begin": 3, "end": 5, "boxes": {"3": [1, 2, 3, 4], "4": [1, 2, 3, 4]}},
    }
]

VOCABULARY = ["", "[UNK]", "red", "square", "left"]


def _glove(folder):
    content = b"red 0.1 0.2 0.3\nsquare 1 2 3\nof the 1 1 1\nLeft -1e-3 2 3\n"

    def read(path):
        vectors = glove.load_glove(path, VOCABULARY, dim=3)
        assert vectors.matrix.shape == (5, 3) and np.isfinite(vectors.matrix).all()

    compressed = gzip.compress(content, mtime=0)
    yield Parser("glove.txt", read, (content,), mutated(content) | st.binary(max_size=100))
    inputs = mutated(compressed) | mutated(content).map(lambda c: gzip.compress(c, mtime=0))
    yield Parser("glove.gz", read, (compressed,), inputs)


CHANGES = {
    "model": {"type": "gkcmn", "gkcmn": {"sigma": 1.5, "candidate_widths": [20.0, 80.0]}},
    "data": {"max_steps": 12, "records_dir": "runs/records"},
    "train": {"steps": 30, "learning_rate": 1e-3, "best_metric": "m_vIoU"},
    "runtime": {"precision": "float32"},
}
OVERRIDE = b"model.type=bm,train.steps=30,data.records_dir=runs/a,train.learning_rate=1e-3"


def _config():
    def read_file(path):
        config.validate(config.load("gkcmn", [path]))

    def read_override(path):
        text = pathlib.Path(path).read_text("utf-8", "surrogateescape")
        config.validate(config.load("gkcmn", params_override=text))

    content = yaml.safe_dump(CHANGES).encode()
    structured = edited(CHANGES).map(_to_bytes)
    yield Parser(
        "config.yaml", read_file, (content,), structured | mutated(content), is_named=False
    )
    inputs = structured | mutated(OVERRIDE) | mutated(content)
    yield Parser("params_override", read_override, (OVERRIDE,), inputs, is_named=False)


def _clips(folder):
    boxes = np.tile(np.float32([1, 2, 3, 4]), (3, 1))
    sentence = clip_records.Sentence(0, "s", "a dog.", "declarative", 0, 2, 5, boxes)
    clip = clip_records.Clip("v", 0, 10, 25.0, 64, 48, 12, (sentence,))
    (path,) = clip_records.write_clips(str(folder / "clips"), "val", [clip], 1)

    def read(path):
        for found in clip_records.read_clips(os.path.dirname(os.path.dirname(path)), "val"):
            for one in found.sentences:
                assert one.boxes.shape == (one.end - one.begin, 4)

    content = pathlib.Path(path).read_bytes()
    inputs = mutated(content) | _changed_record(content)
    return Parser("clips/val-00000-of-00001.tfrecord", read, (content,), inputs)


def _features(folder):
    for dtype in ("float16", "int8"):
        values = np.random.default_rng(0).random((2, 2, 2, 3)).astype(np.float16)
        video = feature_records.VideoFeatures("v", 25.0, 64, 48, 8, values, storage_dtype=dtype)
        feature_records.write_video_features(str(folder / dtype), video)
    valid = tuple((folder / d / "features/v.tfrecord").read_bytes() for d in ("float16", "int8"))

    def read(path):
        found = feature_records.read_video_features(os.path.dirname(os.path.dirname(path)), "v")
        assert found.features.dtype == np.float16 and found.features.ndim == 4

    framed = (_changed_record(content) for content in valid)
    return Parser("features/v.tfrecord", read, valid, st.one_of(*map(mutated, valid), *framed))


def _changed_record(content):
    """TFRecord files in which a record is changed, with right checksums."""
    records = _records(content)
    numbers = st.integers(0, len(records) - 1)
    return numbers.flatmap(
        lambda number: mutated(records[number]).map(
            lambda changed: _framed(*records[:number], changed, *records[number + 1 :])
        )
    )


def _records(content):
    """The records of a TFRecord file."""
    records = []
    while content:
        length = int.from_bytes(content[:8], "little")
        records.append(content[12 : 12 + length])
        content = content[16 + length :]
    return records


def _framed(*records):
    """A TFRecord file of records, with right checksums."""
    import tensorflow as tf

    folder = pathlib.Path(f"/tmp/gkcmn-fuzz-{os.getpid()}")
    with tf.io.TFRecordWriter(str(folder)) as writer:
        for record in records:
            writer.write(record)
    content = folder.read_bytes()
    folder.unlink()
    return content


def _encoded_video(folder):
    timeline = Timeline(np.array([0, 0.1, 0.25, 0.3]), 0.4, np.array([0, 0, 1, 3]))
    source = SourceVideo("a.mp4", 640, 360, 25.0, timeline)
    features = np.ones((1, 7, 7, 3), np.float16)
    path = folder / "video.npz"
    EncodedVideo(features, np.arange(1), source, FINGERPRINT).save(path)
    content = path.read_bytes()
    with np.load(path) as stored:
        arrays = dict(stored)
    description = json.loads(str(arrays["description"]))

    def packed(value):
        file = io.BytesIO()
        text = to_text(value).encode("utf-8", "replace").decode().rstrip("\0")
        np.savez(file, **arrays | {"description": np.array(text)})
        return file.getvalue()

    def read(path):
        video = EncodedVideo.load(path)
        assert repr(video) and video.source.timeline.frame_count > 0

    inputs = mutated(content) | edited(description).map(packed)
    return Parser("video.npz", read, (content,), inputs)


class _Hostile:
    def __reduce__(self):
        return os.system, ("true",)


# What code in a pickle would do; `Parser.check` looks at the events of the interpreter.
_FORBIDDEN = {"os.system", "os.mkdir", "subprocess.Popen", "os.posix_spawn", "exec", "compile"}
_is_watching, _seen = [], []


def _watch(event, _):
    if _is_watching and event in _FORBIDDEN:
        _seen.append(event)


sys.addaudithook(_watch)


def _array_pickle():
    value = {"a": {"b": np.ones((2, 3), np.float32)}, "c": np.zeros(2, np.float32)}
    valid = tuple(pickle.dumps(value, protocol) for protocol in (3, 4))
    hostile = [pickle.dumps({"a": value, "b": _Hostile()}, p) for p in (0, 2, 4)]
    hostile.append(b"cbuiltins\neval\n(V1\ntR.")

    def read(path):
        sha256 = hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
        _is_watching.append(True)
        try:
            arrays = array_pickle.read_arrays(path, sha256)
        finally:
            _is_watching.clear()
            assert not _seen, f"ran code: {_seen}"
        assert all(array.dtype == np.float32 for array in arrays.values())

    inputs = st.one_of(*map(mutated, [*valid, *hostile]), st.binary(max_size=100))
    return Parser("arrays.pickle", read, valid, inputs)


def _preset(folder):
    from gkcmn_tf.modeling.bm import BM

    tokenizer = Tokenizer(["red", "square"], 5)
    widths = {"word_width": 4, "sentence_width": 4, "fusion_width": 4, "attention_heads": 2}
    model = BM(tokenizer.vocabulary_size, **widths)
    model.build({"features": (None, 6, 7, 7, 3), "step_mask": (None, 6), "tokens": (None, 1, 5)})
    about = {"description": "A test.", "metrics": {"m_tIoU": 0.5}}
    where = folder / "preset"
    preset.save(TrainedModel(model, tokenizer, FINGERPRINT, 6, about), str(where))

    def reader(name):
        def read(path):
            copy = folder / "damaged"
            copy.mkdir(exist_ok=True)
            for file in preset.FILES:
                _link(path if file == name else where / file, copy, file)
            preset.load(str(copy))

        return read

    config_json = json.loads((where / "config.json").read_text())
    yield _json("config.json", reader("config.json"), config_json, share=0.2, is_named=False)
    for name, share in (("vocabulary.txt", 0.2), ("model.weights.h5", 0.05)):
        content = (where / name).read_bytes()
        inputs = mutated(content)
        yield Parser(name, reader(name), (content,), inputs, share=share)
