"""Presets: written, read, validated, and downloaded from a local server."""

import hashlib
import http.server
import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading

import h5py
import numpy as np
import pytest

from gkcmn_tf import preset
from gkcmn_tf.features import extraction
from gkcmn_tf.i3d import published_weights
from gkcmn_tf.modeling.bm import BM
from gkcmn_tf.modeling.gkcmn import GKCMN
from gkcmn_tf.text.tokenization import Tokenizer
from gkcmn_tf.trained_model import TrainedModel

ROOT = pathlib.Path(__file__).parents[2]
T, N = 6, 5
WIDTHS = {"word_width": 8, "sentence_width": 8, "fusion_width": 8, "attention_heads": 2}
FEATURES = {
    "i3d_source": "random:0",
    "i3d_sha256": "0",
    "endpoint": extraction.ENDPOINT,
    "compute_dtype": "float32",
    "shape": [7, 7, 3],
}


def make_preset(cls=GKCMN, dtype="float32", **arguments):
    tokenizer = Tokenizer(["red", "square"], N)
    model = cls(tokenizer.vocabulary_size, **WIDTHS, **arguments, dtype=dtype)
    model.build({"features": (None, T, 7, 7, 3), "step_mask": (None, T), "tokens": (None, 1, N)})
    about = {"description": "A test.", "metrics": {"m_tIoU": 0.5}, "limits": "Knows nothing."}
    return TrainedModel(model, tokenizer, FEATURES, T, about)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("presets") / "small"
    preset.save(make_preset(), str(folder))
    return folder


def test_a_model_that_was_fitted_is_saved_without_the_optimizer(tmp_path):
    made = make_preset()
    made.model.compile(optimizer="adam")
    made.model.optimizer.build(made.model.trainable_variables)
    preset.save(made, str(tmp_path / "fitted"), weights="float32")
    loaded = preset.load(str(tmp_path / "fitted")).model
    for before, after in zip(made.model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(after, before)


def test_the_card_names_origin_and_licence_of_published_i3d_weights():
    config = {"about": {}, "class_name": "GKCMN", "parameters": 1, "dtype": "float32"}
    config |= {"max_steps": T, "max_words": N}
    known = FEATURES | {"i3d_source": "kinetics400", "i3d_sha256": published_weights.FINGERPRINT}
    line = "| I3D weights | DeepMind's I3D, RGB, trained on Kinetics-400; Apache-2.0"
    assert line in preset.model_card(config, known)
    assert "| I3D weights |" not in preset.model_card(config, FEATURES)


@pytest.mark.parametrize(
    ("cls", "dtype", "arguments"),
    [
        (GKCMN, "float32", {"sigma": 1.5, "temporal_attention": False}),
        (GKCMN, "mixed_bfloat16", {"candidate_widths": (20.0, 80.0)}),
        (BM, "float32", {"loss_weights": (1.0, 3.0)}),
    ],
)
def test_a_saved_preset_is_loaded_unchanged(cls, dtype, arguments, tmp_path):
    made = make_preset(cls, dtype, **arguments)
    preset.save(made, str(tmp_path / "p"), weights="float32")
    loaded = preset.load(str(tmp_path / "p"))
    assert type(loaded.model) is cls and loaded.model.dtype_policy.name == dtype
    for name, value in arguments.items():
        assert getattr(loaded.model, name) == value
    assert [w.path for w in loaded.model.weights] and len(loaded.model.weights) == len(
        made.model.weights
    )
    for a, b in zip(made.model.get_weights(), loaded.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert loaded.tokenizer.vocabulary == made.tokenizer.vocabulary
    assert (loaded.max_steps, loaded.tokenizer.max_words) == (T, N)
    assert loaded.features == FEATURES
    assert loaded.about == {"name": "p", **made.about}


def test_float16_weights_are_rounded_and_take_half_the_space(folder, tmp_path):
    made = preset.load(str(folder))
    preset.save(made, str(tmp_path / "full"), weights="float32")
    stored = []
    with h5py.File(folder / "model.weights.h5") as file:
        file.visititems(lambda _, item: stored.append(getattr(item, "dtype", None)))
    assert "float16" in stored and "float32" not in stored
    half, full = (
        sum(a.nbytes for a in preset.load(path).model.get_weights())
        for path in (str(folder), str(tmp_path / "full"))
    )
    assert half == full  # in memory
    with pytest.raises(ValueError, match="weights: expected one of float16, float32; got 'int8'"):
        preset.save(made, str(tmp_path / "x"), weights="int8")


def test_weights_that_float16_cannot_hold_are_not_written(tmp_path):
    made = make_preset()
    kernel = next(weight for weight in made.model.trainable_weights if len(weight.shape) == 2)
    kernel.assign(np.full(kernel.shape, 1e5, np.float32))
    with pytest.raises(ValueError, match="has values that float16 cannot hold"):
        preset.save(made, str(tmp_path / "half"))
    preset.save(made, str(tmp_path / "full"), weights="float32")
    assert preset.load(str(tmp_path / "full")).max_steps == T


def first_array(file):
    """Name and content of the first array of weights that has an axis."""
    names = []
    file.visititems(lambda name, item: names.append(name) if getattr(item, "ndim", 0) else None)
    return names[0], file[names[0]][()]


def make_compressed(file):
    name, values = first_array(file)
    del file[name]
    file.create_dataset(name, data=np.zeros_like(values), chunks=values.shape, compression="gzip")


def make_endless(file):
    file.create_dataset("x", (10**11,), "float16", chunks=(10**6,))


def make_empty(file):
    file.create_dataset("x", data=h5py.Empty("float16"))


def make_external(file):
    name, values = first_array(file)
    del file[name]
    elsewhere = [("/etc/hostname", 0, values.nbytes)]
    file.create_dataset(name, values.shape, values.dtype, external=elsewhere)


def make_external_link(file):
    file["x"] = h5py.ExternalLink("other.h5", "/y")


def make_infinite(file):
    name, values = first_array(file)
    file[name][...] = np.full_like(values, np.inf)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (make_compressed, "expected plain numbers in the file itself"),
        (make_endless, "x: expected plain numbers"),
        (make_empty, "x: expected plain numbers"),
        (make_external, "expected plain numbers"),
        (make_external_link, "x: expected plain numbers"),
        (lambda file: file.create_group(b"a\xff"), "expected names in UTF-8"),
        (make_infinite, "expected finite numbers, found NaN or infinity"),
    ],
)
def test_weights_that_are_not_plain_numbers_in_the_file_are_refused(
    change, message, folder, tmp_path
):
    changed = tmp_path / "p"
    shutil.copytree(folder, changed)
    with h5py.File(changed / "model.weights.h5", "a") as file:
        change(file)
    with pytest.raises(ValueError, match=rf"model\.weights\.h5: .*{message}"):
        preset.load(str(changed))


def test_the_precision_can_be_changed_when_loading(folder):
    assert preset.load(str(folder), dtype="mixed_bfloat16").model.compute_dtype == "bfloat16"


def test_the_card_describes_the_model(folder):
    card = (folder / "README.md").read_text()
    for text in ("# GKCMN\n", "A test.", "| m_tIoU |", "| 50.00 |", "Knows nothing.", "random:0"):
        assert text in card


def test_presets_of_the_package_are_listed():
    info = preset.presets()["gkcmn_shapes"]
    assert info.parameters > 100_000 and info.size < 4e6
    assert info.metrics["m_vIoU"] > 0.3 and info.description
    assert set(os.listdir(info.folder)) == set(preset.FILES)


def test_unknown_names_get_a_suggestion(tmp_path):
    with pytest.raises(FileNotFoundError, match="did you mean gkcmn_shapes"):
        preset.find("gkcmn-shapes")
    with pytest.raises(FileNotFoundError, match="nor a preset of this package"):
        preset.find(str(tmp_path / "none"))
    with pytest.raises(FileNotFoundError, match=r"neither a preset nor a run .* no config\.json"):
        preset.load(str(tmp_path))


def damage(folder, tmp_path, file, content):
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    (copy / file).write_bytes(content)
    return str(copy)


def changed_config(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    return json.dumps(config | changes).encode()


def changed_argument(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    return changed_config(folder, config=config["config"] | changes)


def changed_features(folder, **changes):
    return json.dumps(json.loads((folder / "features.json").read_text()) | changes).encode()


def with_damaged_heap(content):
    """An HDF5 file whose list of free space points beyond the heap of names."""
    place = content.index(b"HEAP") + 16
    return content[:place] + bytes([255, 255, 255, 0, 0, 0, 0, 0]) + content[place + 8 :]


def test_other_files_are_not_replaced(folder, tmp_path):
    trained = preset.load(str(folder))
    for name, content, message in [
        ("README.md", "my notes", r"holds a README\.md but no preset"),
        ("config.json", '{"model_type": "bert"}', "missing field 'format'"),
        ("params.yaml", "", "holds a run of gkcmn_tf.train"),
    ]:
        other = tmp_path / name
        other.mkdir()
        (other / name).write_text(content)
        with pytest.raises(ValueError, match=message):
            preset.save(trained, str(other))
        assert os.listdir(other) == [name] and (other / name).read_text() == content


def test_a_preset_whose_writing_was_interrupted_is_written_again(folder, tmp_path):
    preset.save(preset.load(str(folder)), str(tmp_path / "again"))
    (tmp_path / "again" / "config.json").unlink()
    preset.save(preset.load(str(folder)), str(tmp_path / "again"))
    assert preset.load(str(tmp_path / "again")).max_steps > 0


def test_damaged_files_are_named(folder, tmp_path):
    for number, (file, content, message) in enumerate(
        [
            ("config.json", b"{", r"config\.json: not valid JSON"),
            ("config.json", b"{}", r"config\.json: missing field 'format'"),
            ("config.json", changed_config(folder, format=9), "has format 9, expected 1"),
            (
                "config.json",
                changed_config(folder, class_name="os.system"),
                "class_name: expected one of GKCMN, BM; got 'os.system'",
            ),
            (
                "config.json",
                changed_config(folder, config={"vocabulary_size": 4, "spell": 1}),
                "GKCMN has no argument 'spell'",
            ),
            (
                "config.json",
                changed_argument(folder, heatmap_size=15, attention_layers=1),
                r"model\.weights\.h5: not the weights of this model",
            ),
            # Its weights would take terabytes.
            (
                "config.json",
                changed_argument(folder, fusion_width=1_000_000),
                r"config\.json: config: .*needs more than the \d+ values in .*model\.weights\.h5; "
                "the largest size is fusion_width=1000000",
            ),
            (
                "config.json",
                changed_argument(folder, attention_layers=1_000_000),
                r"config\.json: config: attention_layers: expected at most \d+, got 1000000",
            ),
            (
                "config.json",
                changed_argument(folder, heatmap_size=1_000_000),
                r"config\.json: config: heatmap_size: expected at most 256, got 1000000",
            ),
            (
                "config.json",
                changed_config(folder, max_steps=10_001),
                r"config\.json: max_steps: expected at most 10000, got 10001",
            ),
            ("model.weights.h5", b"", r"model\.weights\.h5: not the weights of this model"),
            ("vocabulary.txt", b"two words\n", r"vocabulary\.txt: vocabulary: expected single"),
            ("vocabulary.txt", b"red\n", r"vocabulary\.txt: has 1 words and 2 tokens, but vocab"),
            ("config.json", b"null", r"config\.json: missing field 'format'"),
            (
                "config.json",
                changed_config(folder, config=[]),
                r"config\.json: config: expected an",
            ),
            (
                "config.json",
                changed_config(folder, about=None),
                r"config\.json: about: expected an",
            ),
            ("config.json", changed_config(folder, max_steps=0), "max_steps: expected an integer"),
            (
                "config.json",
                changed_config(folder, max_words="9"),
                "max_words: expected an integer",
            ),
            (
                "config.json",
                changed_config(folder, class_name=["BM"]),
                "class_name: expected a str",
            ),
            (
                "config.json",
                changed_config(folder, dtype="float9"),
                "not arguments of GKCMN: Cannot",
            ),
            (
                "config.json",
                changed_argument(folder, attention_heads=0),
                r"config\.json: config: not arguments of GKCMN",
            ),
            (
                "model.weights.h5",
                with_damaged_heap((folder / "model.weights.h5").read_bytes()),
                r"model\.weights\.h5: not the weights of this model: .*bad heap free list",
            ),
            ("features.json", b"[]", r"features\.json: expected an object"),
            ("features.json", b"{}", r"features\.json: i3d_source: missing field"),
            ("features.json", changed_features(folder, endpoint=None), "endpoint: expected a str"),
            ("features.json", changed_features(folder, shape=None), "shape: expected a list"),
            (
                "features.json",
                changed_features(folder, shape=[7, "7"]),
                "shape: expected 3 positive integers",
            ),
            ("features.json", changed_features(folder, fps="5"), "fps: expected a positive number"),
        ]
    ):
        where = tmp_path / str(number)
        where.mkdir()
        with pytest.raises(ValueError, match=message):
            preset.load(damage(folder, where, file, content))


@pytest.fixture
def hub(folder, tmp_path):
    """The part of the Hub's protocol that downloads need, on a local server."""
    commit = "a" * 40
    served = {path.name: path.read_bytes() for path in folder.iterdir()}
    served["evil.py"] = b"raise SystemExit('code was run')"

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.answer(body=True)

        def do_HEAD(self):
            self.answer(body=False)

        def answer(self, body):
            path = self.path.partition("?")[0]
            name = path.rpartition("/")[2]
            if "/someone/silent" in path:
                return  # closes the connection without an answer
            if path.startswith("/api/models/someone/shapes/tree/"):
                files = [
                    {
                        "type": "file",
                        "path": name,
                        "size": len(stored),
                        "oid": hashlib.sha1(stored).hexdigest(),
                    }
                    for name, stored in served.items()
                ]
                content = json.dumps(files).encode()
            elif path.startswith("/api/models/someone/shapes"):
                files = [{"rfilename": name} for name in served]
                content = json.dumps(
                    {"id": "someone/shapes", "sha": commit, "siblings": files}
                ).encode()
            elif path.startswith(f"/someone/shapes/resolve/{commit}/") and name in served:
                content = served[name]
            else:
                self.send_response(404)
                self.send_header("X-Error-Code", "RepoNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("X-Repo-Commit", commit)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("localhost", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    # Its address is read from the environment when the package is imported.
    environment = {
        "HF_ENDPOINT": f"http://localhost:{server.server_port}",
        "HF_HOME": str(tmp_path / "hub"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "no_proxy": "localhost",
    }

    def find(name):
        code = f"from gkcmn_tf import preset; print(preset.find({name!r}))"
        return subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=False,
        )

    yield find
    server.shutdown()


def test_only_the_files_of_a_preset_are_downloaded_from_the_hub(hub, folder):
    done = hub("hf://someone/shapes")
    assert done.returncode == 0, done.stderr
    found = done.stdout.strip()
    assert set(os.listdir(found)) == set(preset.FILES)
    downloaded, made = (preset.load(path).model.get_weights() for path in (found, str(folder)))
    for a, b in zip(downloaded, made, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["someone/else", "someone/silent"])
def test_a_preset_that_the_hub_lacks_is_an_error(hub, name):
    error = hub(f"hf://{name}").stderr
    assert f"\nFileNotFoundError: --preset=hf://{name}: cannot be downloaded: " in error


def test_a_name_without_an_owner_is_an_error(hub):
    assert "expected hf://owner/name" in hub("hf://shapes").stderr
