import pytest

from gkcmn_tf import extras


@pytest.mark.parametrize(
    ("module", "core"),
    [
        ("gkcmn_tf", True),
        ("gkcmn_tf.i3d.weight_sources", True),
        ("gkcmn_tf.training", False),
        ("gkcmn_tf.training.trainer", False),
        ("gkcmn_tf.data.make_shapes", True),
        ("gkcmn_tf.data.prepare", False),
        ("gkcmn_tf.export.saved_model", True),
        ("gkcmn_tf.export.tflite_files", False),
        ("gkcmn_tf.config", False),
        ("gkcmn_tf.configs", True),
    ],
)
def test_packages_of_the_core(module, core):
    assert extras.is_core(module) == core


def test_an_installed_package_is_imported():
    assert extras.import_package("json", "nothing").dumps(1) == "1"


def test_the_error_for_a_missing_package_names_it_and_the_remedy(monkeypatch):
    monkeypatch.setitem(extras.PACKAGES, "none_such", ("None-Such", "train"))
    message = r"reading x needs the package None-Such: pip install 'gkcmn-tf\[train\]'"
    with pytest.raises(extras.MissingPackageError, match=message):
        extras.import_package("none_such", "reading x")


def test_a_missing_package_outside_the_extras_raises_a_plain_import_error():
    with pytest.raises(ModuleNotFoundError, match="No module named 'none_such'"):
        extras.import_package("none_such", "reading x")
