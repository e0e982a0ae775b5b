import http.server
import io
import pathlib
import shutil
import tarfile
import threading

import numpy as np
import pytest
import tensorflow as tf

from gkcmn_tf.i3d import loading, network, weight_sources
from gkcmn_tf.i3d.variables import variable_shapes
from tests.gkcmn_tf.i3d.reference_i3d import SCOPE, save_checkpoint


def test_module_and_checkpoint_of_the_same_weights_have_the_same_fingerprint(
    checkpoint, published, values
):
    fingerprint = weight_sources.source_fingerprint(published[0])
    assert fingerprint == weight_sources.source_fingerprint(checkpoint)
    name = f"{SCOPE}Mixed_4d/Branch_0/Conv3d_0a_1x1/batch_norm/beta"
    assert fingerprint != weight_sources.fingerprint(values | {name: values[name] + 1})
    assert len(fingerprint) == 64


def test_a_checkpoint_without_scope_with_600_classes_and_optimizer_slots_is_read(values, tmp_path):
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


def test_the_error_for_an_unreachable_handle_names_the_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
    # Port 9 of this machine refuses the connection, as without a network.
    with pytest.raises(FileNotFoundError, match="On a machine with network access") as error:
        loading.load_i3d("http://127.0.0.1:9/i3d/1")
    assert "TFHUB_CACHE_DIR" in str(error.value)
    assert str(tmp_path) in str(error.value)


def copy_as_module(checkpoint, folder):
    (folder / "variables").mkdir(parents=True)
    for file in pathlib.Path(checkpoint).parent.glob("model.ckpt.*"):
        name = file.name.replace("model.ckpt", "variables")
        shutil.copy(file, folder / "variables" / name)


def test_a_module_is_found_in_the_cache_folder_of_the_error(monkeypatch, tmp_path, checkpoint):
    handle = "http://127.0.0.1:9/i3d/2"
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
    with pytest.raises(FileNotFoundError) as error:
        weight_sources.read_variables(handle)
    folder = pathlib.Path(str(error.value).partition("unpack it into '")[2].partition("'")[0])
    copy_as_module(checkpoint, folder)
    expected = weight_sources.source_fingerprint(checkpoint)
    assert weight_sources.source_fingerprint(handle) == expected


class Hub(http.server.BaseHTTPRequestHandler):
    """Responds like TF Hub, with an archive of a module or with the location of its files."""

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
    """A hub on this machine; `handle` is a module with the weights of `checkpoint`."""
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


def test_the_load_format_determines_the_request_to_the_hub(hub_server, monkeypatch):
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
def test_the_error_for_an_unusable_source_names_it(source, error, message):
    with pytest.raises(error, match=message) as raised:
        loading.load_i3d(source)
    assert source in str(raised.value)


def test_the_error_for_a_folder_without_a_module_names_it(tmp_path):
    (tmp_path / "model.ckpt.meta").touch()
    with pytest.raises(ValueError, match="give its prefix") as error:
        loading.load_i3d(str(tmp_path))
    assert "model.ckpt.meta" in str(error.value)
