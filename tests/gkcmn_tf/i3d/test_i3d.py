import http.server
import io
import json
import pathlib
import shutil
import tarfile
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub

from gkcmn_tf.i3d import calibration, loading, network, weight_sources
from gkcmn_tf.i3d.variables import variable_shapes

NAMES_AND_SHAPES = json.loads(
    pathlib.Path(__file__).with_name("i3d_variables.json").read_text(encoding="utf-8")
)
SCOPE = "RGB/inception_i3d/"


class ReferenceI3D:
    """I3D written a second time, in plain TF1 operations on variables looked up by name."""

    def __init__(self, shapes):
        self.variables = {
            name: tf.compat.v1.get_variable(name, shape, use_resource=False)
            for name, shape in shapes.items()
        }

    def unit(self, x, name, stride=1):
        v = {
            key: self.variables[f"{SCOPE}{name}/{key}"]
            for key in (
                "conv_3d/w",
                "batch_norm/beta",
                "batch_norm/moving_mean",
                "batch_norm/moving_variance",
            )
        }
        x = tf.nn.conv3d(x, v["conv_3d/w"], [1, stride, stride, stride, 1], "SAME")
        x = (x - v["batch_norm/moving_mean"]) * tf.math.rsqrt(
            v["batch_norm/moving_variance"] + 1e-3
        ) + v["batch_norm/beta"]
        return tf.nn.relu(x)

    def mixed(self, x, name):
        last = "Conv3d_0a_3x3" if name == "Mixed_5b" else "Conv3d_0b_3x3"
        b0 = self.unit(x, f"{name}/Branch_0/Conv3d_0a_1x1")
        b1 = self.unit(x, f"{name}/Branch_1/Conv3d_0a_1x1")
        b1 = self.unit(b1, f"{name}/Branch_1/Conv3d_0b_3x3")
        b2 = self.unit(x, f"{name}/Branch_2/Conv3d_0a_1x1")
        b2 = self.unit(b2, f"{name}/Branch_2/{last}")
        b3 = tf.nn.max_pool3d(x, [1, 3, 3, 3, 1], [1, 1, 1, 1, 1], "SAME")
        b3 = self.unit(b3, f"{name}/Branch_3/Conv3d_0b_1x1")
        return tf.concat([b0, b1, b2, b3], 4)

    def __call__(self, clips):
        x = self.unit(clips, "Conv3d_1a_7x7", stride=2)
        x = tf.nn.max_pool3d(x, [1, 1, 3, 3, 1], [1, 1, 2, 2, 1], "SAME")
        x = self.unit(x, "Conv3d_2b_1x1")
        x = self.unit(x, "Conv3d_2c_3x3")
        x = tf.nn.max_pool3d(x, [1, 1, 3, 3, 1], [1, 1, 2, 2, 1], "SAME")
        for letter in "bc":
            x = self.mixed(x, f"Mixed_3{letter}")
        x = tf.nn.max_pool3d(x, [1, 3, 3, 3, 1], [1, 2, 2, 2, 1], "SAME")
        for letter in "bcdef":
            x = self.mixed(x, f"Mixed_4{letter}")
        x = tf.nn.max_pool3d(x, [1, 2, 2, 2, 1], [1, 2, 2, 2, 1], "SAME")
        for letter in "bc":
            x = self.mixed(x, f"Mixed_5{letter}")
        features = x
        x = tf.nn.avg_pool3d(x, [1, 2, 7, 7, 1], [1, 1, 1, 1, 1], "VALID")
        head = f"{SCOPE}Logits/Conv3d_0c_1x1/conv_3d"
        x = tf.nn.conv3d(x, self.variables[f"{head}/w"], [1, 1, 1, 1, 1], "SAME")
        x = tf.squeeze(x + self.variables[f"{head}/b"], [2, 3])
        return features, tf.reduce_mean(x, axis=1)


def draw(name, shape, rng):
    kind = name.rsplit("/", 1)[1]
    if kind == "w":
        return rng.normal(0, np.sqrt(2 / np.prod(shape[:-1])), shape).astype("float32")
    if kind == "moving_variance":
        return rng.uniform(0.5, 1.5, shape).astype("float32")
    return rng.normal(0, 0.2, shape).astype("float32")


@pytest.fixture(scope="module")
def values():
    rng = np.random.default_rng(5)
    return {name: draw(name, shape, rng) for name, shape in NAMES_AND_SHAPES.items()}


@pytest.fixture(scope="module")
def clips():
    rng = np.random.default_rng(6)
    return {
        "short": rng.uniform(-1, 1, (2, 8, 64, 48, 3)).astype("float32"),
        "long": rng.uniform(-1, 1, (1, 9, 224, 224, 3)).astype("float32"),
    }


def assign(session, variables, values):
    """Sets all variables in one run of the session, so that they are no constants of the graph."""
    feeds = {
        tf.compat.v1.placeholder(variable.dtype.base_dtype, variable.shape): name
        for name, variable in variables.items()
    }
    assignments = [variables[name].assign(placeholder) for placeholder, name in feeds.items()]
    session.run(
        [assignment.op for assignment in assignments],
        {p: np.reshape(values[name], variables[name].shape) for p, name in feeds.items()},
    )


@pytest.fixture(scope="module")
def published(values, clips, tmp_path_factory):
    """A module in TF1 Hub format, its `Mixed_5c` on the short and its logits on the long clip."""
    folder = tmp_path_factory.mktemp("i3d") / "module"
    shapes = {
        name: [1, 1, 1, 1, *shape] if "batch_norm" in name else shape
        for name, shape in NAMES_AND_SHAPES.items()
    }
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        rgb = tf.compat.v1.placeholder(tf.float32, [None, None, None, None, 3])
        reference = ReferenceI3D(shapes)
        features, logits = reference(rgb)
        assign(session, reference.variables, values)
        builder = tf.compat.v1.saved_model.Builder(str(folder))
        signature = tf.compat.v1.saved_model.predict_signature_def(
            {"rgb_input": rgb}, {"default": logits}
        )
        builder.add_meta_graph_and_variables(session, [], {"default": signature})
        builder.save()
        results = {
            "features": session.run(features, {rgb: clips["short"]}),
            "logits": session.run(logits, {rgb: clips["long"]}),
        }
    # What makes a SavedModel a TF1 Hub module: the format's version, 3, as a protocol buffer.
    (folder / "tfhub_module.pb").write_bytes(b"\x08\x03")
    return str(folder), results


def save_checkpoint(values, prefix):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        variables = {
            name: tf.compat.v1.get_variable(name, value.shape, value.dtype, use_resource=False)
            for name, value in values.items()
        }
        assign(session, variables, values)
        saver = tf.compat.v1.train.Saver(variables)
        return saver.save(session, str(prefix), write_meta_graph=False)


@pytest.fixture(scope="module")
def checkpoint(values, tmp_path_factory):
    return save_checkpoint(values, tmp_path_factory.mktemp("checkpoint") / "model.ckpt")


@pytest.fixture(scope="module")
def features_model(published):
    return loading.load_i3d(published[0])


@pytest.fixture(scope="module")
def random_variables():
    return weight_sources.read_variables("random:3")


def relative_difference(a, b):
    return np.abs(np.asarray(a) - np.asarray(b)).max() / np.abs(b).max()


def test_names_and_shapes_are_those_of_the_published_checkpoint():
    expected = {name: tuple(shape) for name, shape in NAMES_AND_SHAPES.items()}
    assert variable_shapes() == expected
    assert len(expected) == 230


def test_the_written_module_is_one_that_tf_hub_loads(published, clips):
    folder, expected = published
    module = hub.load(folder)
    logits = module.signatures["default"](tf.constant(clips["long"]))["default"]
    assert relative_difference(logits, expected["logits"]) < 1e-4


def test_module_gives_the_activations_of_its_own_graph(published, features_model, clips):
    folder, expected = published
    features = features_model(clips["short"])
    assert features.shape == (2, 1, 2, 2, 1024)
    assert relative_difference(features, expected["features"]) < 1e-4
    logits = loading.load_i3d(folder, "Logits")(clips["long"])
    assert logits.shape == (1, 400)
    assert relative_difference(logits, expected["logits"]) < 1e-4


def test_checkpoint_gives_the_activations_of_the_source_graph(checkpoint, published, clips):
    _, expected = published
    features = loading.load_i3d(checkpoint)(clips["short"])
    assert relative_difference(features, expected["features"]) < 1e-4
    probabilities = loading.load_i3d(checkpoint, "Predictions")(clips["long"])
    odds = np.exp(expected["logits"] - expected["logits"].max())
    assert relative_difference(probabilities, odds / odds.sum()) < 1e-3


def test_module_and_checkpoint_of_the_same_weights_have_one_fingerprint(
    checkpoint, published, values
):
    fingerprint = weight_sources.source_fingerprint(published[0])
    assert fingerprint == weight_sources.source_fingerprint(checkpoint)
    name = f"{SCOPE}Mixed_4d/Branch_0/Conv3d_0a_1x1/batch_norm/beta"
    assert fingerprint != weight_sources.fingerprint(values | {name: values[name] + 1})
    assert len(fingerprint) == 64


def test_checkpoint_without_scope_with_600_classes_and_optimizer_slots(values, tmp_path):
    found = {name.removeprefix(SCOPE): value for name, value in values.items()}
    head = "Logits/Conv3d_0c_1x1/conv_3d"
    found[f"{head}/w"] = np.zeros((1, 1, 1, 1024, 600), np.float32)
    found[f"{head}/b"] = np.zeros(600, np.float32)
    found["global_step"] = np.int64(7)
    found[f"{head}/b/Adam_1"] = np.zeros(600, np.float32)
    prefix = save_checkpoint(found, tmp_path / "rgb600" / "model.ckpt")
    variables = weight_sources.read_variables(prefix)
    assert list(variables) == list(variable_shapes(600))
    assert network.build_i3d(variables, "Logits").output_shape == (None, 600)


def test_every_differing_variable_is_listed(tmp_path):
    head = f"{SCOPE}Logits/Conv3d_0c_1x1/conv_3d"
    kernel = f"{SCOPE}Conv3d_1a_7x7/conv_3d/w"
    found = {
        f"{head}/b": np.zeros(400, np.float32),
        kernel: np.zeros((7, 7, 7, 2, 64), np.float32),
        f"{SCOPE}Mixed_6a/w": np.zeros((3, 2), np.float32),
    }
    prefix = save_checkpoint(found, tmp_path / "flow.ckpt")
    with pytest.raises(ValueError, match="230 variables differ") as error:
        weight_sources.read_variables(prefix)
    message = str(error.value)
    assert f"shape of {kernel}: expected [7, 7, 7, 3, 64], found [7, 7, 7, 2, 64]" in message
    assert f"unexpected: {SCOPE}Mixed_6a/w [3, 2]" in message
    assert f"missing: {head}/w [1, 1, 1, 1024, 400]" in message
    assert message.count("missing: ") == 228


def test_unreachable_handle_says_where_to_put_the_module(monkeypatch, tmp_path):
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
    # Port 9 of this machine refuses the connection, like a network that is not there.
    with pytest.raises(FileNotFoundError, match="On a machine with a network") as error:
        loading.load_i3d("http://127.0.0.1:9/i3d/1")
    assert "TFHUB_CACHE_DIR" in str(error.value)
    assert str(tmp_path) in str(error.value)


def copy_as_module(checkpoint, folder):
    (folder / "variables").mkdir(parents=True)
    for file in pathlib.Path(checkpoint).parent.glob("model.ckpt.*"):
        name = file.name.replace("model.ckpt", "variables")
        shutil.copy(file, folder / "variables" / name)


def test_handle_is_found_where_the_error_said(monkeypatch, tmp_path, checkpoint):
    handle = "http://127.0.0.1:9/i3d/2"
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
    with pytest.raises(FileNotFoundError) as error:
        weight_sources.read_variables(handle)
    folder = pathlib.Path(str(error.value).partition("unpack it into '")[2].partition("'")[0])
    copy_as_module(checkpoint, folder)
    expected = weight_sources.source_fingerprint(checkpoint)
    assert weight_sources.source_fingerprint(handle) == expected


class Hub(http.server.BaseHTTPRequestHandler):
    """Answers as TF Hub does: with an archive of a module, or with where its files lie."""

    def do_GET(self):
        self.server.requests.append(self.path)
        if self.path.endswith("tf-hub-format=compressed"):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.server.archive)
        else:
            self.send_response(303)
            self.end_headers()
            self.wfile.write(b"gs://bucket/i3d/1")

    def log_message(self, *_):
        pass


@pytest.fixture
def hub_server(checkpoint, tmp_path):
    """A hub on this machine; its `handle` is of a module with the weights of `checkpoint`."""
    copy_as_module(checkpoint, tmp_path / "module")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz", compresslevel=1) as module:
        module.add(tmp_path / "module" / "variables", "variables")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        server.archive, server.requests = archive.getvalue(), []
        server.handle = f"http://127.0.0.1:{server.server_port}/i3d/1"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_handle_is_downloaded_once_into_the_cache(hub_server, monkeypatch, tmp_path, checkpoint):
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    expected = weight_sources.source_fingerprint(checkpoint)
    for _ in range(2):
        assert weight_sources.source_fingerprint(hub_server.handle) == expected
    assert hub_server.requests == ["/i3d/1?tf-hub-format=compressed"]
    assert len(list(tmp_path.glob("cache/*/variables/variables.index"))) == 1


def test_the_load_format_decides_what_the_hub_is_asked_for(hub_server, monkeypatch):
    monkeypatch.setenv("TFHUB_MODEL_LOAD_FORMAT", "UNCOMPRESSED")
    read = []
    exists = lambda path: read.append(path) or True  # noqa: E731
    monkeypatch.setattr(tf.io.gfile, "exists", exists)
    monkeypatch.setattr(tf.compat.v1.gfile, "Exists", exists)
    prefix = weight_sources.checkpoint_prefix(hub_server.handle)
    assert prefix == "gs://bucket/i3d/1/variables/variables"
    assert hub_server.requests == ["/i3d/1?tf-hub-format=uncompressed"]
    assert f"{prefix}.index" in read


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("/nowhere/module", FileNotFoundError, "neither a folder"),
        ("random:x", ValueError, "whole number"),
        ("random:-1", ValueError, "whole number"),
    ],
)
def test_unusable_source_is_named(source, error, message):
    with pytest.raises(error, match=message) as raised:
        loading.load_i3d(source)
    assert source in str(raised.value)


def test_folder_that_is_no_module_is_named(tmp_path):
    (tmp_path / "model.ckpt.meta").touch()
    with pytest.raises(ValueError, match="give its prefix") as error:
        loading.load_i3d(str(tmp_path))
    assert "model.ckpt.meta" in str(error.value)


def test_unknown_endpoint_is_refused(random_variables):
    with pytest.raises(ValueError, match="has no endpoint 'Mixed_5d'"):
        network.build_i3d(random_variables, "Mixed_5d")


def test_folding_does_not_change_the_features(published, features_model, clips):
    unfolded = loading.load_i3d(published[0], fold_batch_norm=False)
    assert relative_difference(features_model(clips["short"]), unfolded(clips["short"])) < 1e-4


def test_bfloat16_features_are_close_and_returned_as_float32(published, features_model, clips):
    features = loading.load_i3d(published[0], dtype="bfloat16")(clips["short"])
    expected = np.asarray(features_model(clips["short"]))
    assert features.dtype == "float32"
    difference = np.asarray(features) - expected
    assert 0 < np.abs(difference).mean() < 0.03 * np.abs(expected).mean()


def test_clips_of_any_size_pass(features_model):
    for shape, expected in [
        ((1, 1, 33, 32, 3), (1, 1, 2, 1, 1024)),
        ((2, 17, 32, 65, 3), (2, 3, 1, 3, 1024)),
    ]:
        assert features_model(np.zeros(shape, np.float32)).shape == expected


@pytest.mark.parametrize(
    ("endpoint", "shape"),
    [
        ("Conv3d_1a_7x7", (4, 112, 112, 64)),
        ("MaxPool3d_2a_3x3", (4, 56, 56, 64)),
        ("Conv3d_2b_1x1", (4, 56, 56, 64)),
        ("Conv3d_2c_3x3", (4, 56, 56, 192)),
        ("MaxPool3d_3a_3x3", (4, 28, 28, 192)),
        ("Mixed_3b", (4, 28, 28, 256)),
        ("Mixed_3c", (4, 28, 28, 480)),
        ("MaxPool3d_4a_3x3", (2, 14, 14, 480)),
        ("Mixed_4b", (2, 14, 14, 512)),
        ("Mixed_4c", (2, 14, 14, 512)),
        ("Mixed_4d", (2, 14, 14, 512)),
        ("Mixed_4e", (2, 14, 14, 528)),
        ("Mixed_4f", (2, 14, 14, 832)),
        ("MaxPool3d_5a_2x2", (1, 7, 7, 832)),
        ("Mixed_5b", (1, 7, 7, 832)),
        ("Mixed_5c", (1, 7, 7, 1024)),
    ],
)
def test_shape_at_each_endpoint_of_8_frames(endpoint, shape, features_model):
    # Layers carry the endpoints' names; shapes alone need no computation.
    cut = keras.Model(features_model.input, features_model.get_layer(endpoint).output)
    spec = cut.compute_output_spec(keras.KerasTensor((5, 8, 224, 224, 3)))
    assert spec.shape == (5, *shape)


def test_build_stops_at_the_endpoint(random_variables):
    model = network.build_i3d(random_variables, "MaxPool3d_2a_3x3")
    assert model.count_params() == 7 * 7 * 7 * 3 * 64 + 64
    assert model(np.zeros((1, 8, 16, 16, 3), np.float32)).shape == (1, 4, 4, 4, 64)


@pytest.mark.parametrize("shape", [(1, 8, 224, 224, 3), (1, 9, 192, 224, 3)])
def test_logits_of_too_small_clips_are_refused(shape, random_variables):
    model = network.build_i3d(random_variables, "Logits")
    with pytest.raises(ValueError, match="at least 9 frames of at least 193x193"):
        model(np.zeros(shape, np.float32))


def test_logits_of_the_smallest_clip_are_finite(random_variables):
    model = network.build_i3d(random_variables, "Logits")
    assert np.isfinite(model(np.ones((1, 9, 193, 193, 3), np.float32))).all()


def test_random_weights_depend_on_the_seed_alone():
    known = weight_sources.source_fingerprint("random:3")
    # The very value, since it must be the same on every machine.
    assert known == "e878afa6a6c59301f66b812028ec483b41c8acef4271a9039bae9610ae772524"
    assert known != weight_sources.source_fingerprint("random:4")


def test_calibrated_activations_have_zero_mean_and_unit_variance(random_variables):
    clips = calibration.calibration_clips(0, num_clips=2)
    before = {name: value.copy() for name, value in random_variables.items()}
    calibrated = calibration.calibrate(random_variables, clips[:, :, ::4, ::4])
    model = network.build_i3d(calibrated, fold_batch_norm=False)
    for unit in ("Conv3d_1a_7x7", "Mixed_4d_Branch_1_Conv3d_0b_3x3"):
        layer = model.get_layer(f"{unit}_batch_norm")
        inner = keras.Model(model.input, layer.output)
        y = np.asarray(inner(clips[:, :, ::4, ::4])) - np.asarray(layer.beta)
        np.testing.assert_allclose(y.mean((0, 1, 2, 3)), 0, atol=1e-3)
        np.testing.assert_allclose(np.median(y.std((0, 1, 2, 3))), 1, atol=0.02)
    assert all(np.array_equal(before[name], random_variables[name]) for name in before)


def test_calibration_clips_are_deterministic_and_in_range():
    clips = calibration.calibration_clips(1, num_clips=2)
    assert clips.shape == (2, 8, 224, 224, 3)
    assert clips.dtype == np.float32
    assert -1 <= clips.min() < -0.5 < 0.5 < clips.max() <= 1
    assert np.array_equal(clips, calibration.calibration_clips(1, num_clips=2))
    # Something moves, and the background stays.
    still = (clips[:, 1:] == clips[:, :-1]).all(-1).mean()
    assert 0.5 < still < 1


@pytest.mark.slow
def test_random_source_is_deterministic_and_sees_motion():
    model = loading.load_i3d("random:3")
    again = loading.load_i3d("random:3")
    clips = calibration.calibration_clips(9, num_clips=1)
    features = np.asarray(model(clips))
    np.testing.assert_allclose(features, again(clips), atol=1e-4)
    assert 0.2 < (features > 0).mean() < 0.8
    # Played backwards only motion differs.
    assert relative_difference(model(clips[:, ::-1]), features) > 0.05


def test_saved_model_comes_back_with_the_same_output(random_variables, tmp_path):
    clip = calibration.calibration_clips(2, num_clips=1)[:, :, ::4, ::4]
    for endpoint, dtype in (("Mixed_5c", "bfloat16"), ("Predictions", "float32")):
        model = network.build_i3d(random_variables, endpoint, dtype=dtype)
        model.save(tmp_path / "i3d.keras")
        restored = keras.saving.load_model(tmp_path / "i3d.keras")
        for mine, theirs in zip(model.weights, restored.weights, strict=True):
            assert mine.path == theirs.path
            assert np.array_equal(mine, theirs)
        if endpoint == "Mixed_5c":
            assert np.array_equal(model(clip), restored(clip))
