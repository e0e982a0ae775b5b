"""The core in an empty environment: exactly what `pip install gkcmn-tf` installs."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest

import gkcmn_tf
from gkcmn_tf import extras

pytestmark = pytest.mark.slow
ROOT = pathlib.Path(__file__).parents[1]
FOLDERS = {"gkcmn_tf": "gkcmn_tf", "data": "gkcmn_tf/data", "export": "gkcmn_tf/export"}
TENSORFLOW = ("2.20", "2.21")
# Packages of extras that TensorFlow also depends on, in one of these versions.
FROM_TENSORFLOW = {"grpc", "pkg_resources", "requests", "tensorboard"}

IMPORT_ALL = """
import importlib, importlib.util, json, pkgutil
import gkcmn_tf
import gkcmn_tf
from gkcmn_tf import extras
modules = [m.name for m in pkgutil.walk_packages(gkcmn_tf.__path__, "gkcmn_tf.")]
core = [name for name in modules if extras.is_core(name)]
for name in core:
    importlib.import_module(name)
import tensorflow as tf
installed = [name for name in extras.PACKAGES if importlib.util.find_spec(name)]
print(json.dumps({"core": core, "tensorflow": tf.__version__, "extras": installed,
                  "file": gkcmn_tf.__file__}))
"""


def run(*command, cwd=None):
    environment = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    return subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def pip(*arguments):
    done = run(sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The project's wheel, built from a copy, so that it contains no earlier build."""
    source, output = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    ignored = shutil.ignore_patterns("__pycache__")
    for name in (*FOLDERS, "configs"):
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for name in ("pyproject.toml", "setup.cfg", "README.md"):
        shutil.copy(ROOT / name, source / name)
    pip("wheel", "--quiet", "--no-deps", f"--wheel-dir={output}", source)
    (path,) = output.iterdir()
    return path


@pytest.fixture(scope="module", params=TENSORFLOW)
def environment(request, wheel, tmp_path_factory):
    """An environment with only the core, the folder of its programs, and TensorFlow's version."""
    folder = tmp_path_factory.mktemp("environment")
    assert run(sys.executable, "-m", "venv", "--without-pip", folder).returncode == 0
    programs = folder / "bin"
    pip(
        f"--python={programs}/python", "install", "--quiet", wheel, f"tensorflow=={request.param}.*"
    )
    yield programs, request.param
    # It has two gigabytes.
    shutil.rmtree(folder)


def test_the_wheel_contains_every_source_file_under_one_package_name(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    expected = {
        f"{installed}/{path.relative_to(ROOT / folder).as_posix()}"
        for folder, installed in FOLDERS.items()
        for path in (ROOT / folder).rglob("*.py")
    }
    assert {name for name in names if name.endswith(".py")} == expected
    own = f"gkcmn_tf-{gkcmn_tf.__version__}.dist-info"
    assert {name.partition("/")[0] for name in names} == {"gkcmn_tf", own}
    configs = {path.relative_to(ROOT).as_posix() for path in (ROOT / "configs").rglob("*.yaml")}
    assert {f"gkcmn_tf/{path}" for path in configs} < set(names)
    assert {"gkcmn_tf/py.typed", "gkcmn_tf/export/serving/compose.yaml"} < set(names)
    data = {"presets/gkcmn_shapes/model.weights.h5", "samples/samples.json"}
    assert {f"gkcmn_tf/{path}" for path in data} < set(names)


def test_the_core_works_without_extras(environment, tmp_path):
    programs, version = environment
    done = run(programs / "python", "-c", IMPORT_ALL, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["tensorflow"].startswith(f"{version}.")
    assert set(found["extras"]) <= FROM_TENSORFLOW
    assert found["file"].startswith(str(programs.parent))
    expected = {
        ".".join([*installed.split("/"), *path.relative_to(ROOT / folder).with_suffix("").parts])
        for folder, installed in FOLDERS.items()
        for path in (ROOT / folder).rglob("*.py")
    }
    expected = {name.removesuffix(".__init__") for name in expected} - {"gkcmn_tf"}
    assert set(found["core"]) == set(filter(extras.is_core, expected))

    # A missing extra is reported in one line.
    done = run(programs / "gkcmn", "train", "--model_dir=none", cwd=tmp_path)
    remedy = "needs the package tf-models-official: pip install 'gkcmn-tf[train]'"
    assert (done.returncode, done.stderr) == (2, f"error: gkcmn train {remedy}\n")
    done = run(programs / "python", "-m", "gkcmn_tf.train", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, f"error: python -m gkcmn_tf.train {remedy}\n")

    # A sample is grounded with the model in the package, and drawn.
    query = "the small white circle is moving right."
    arguments = ("ground", "--sample", f"--query={query}", "--output_dir=drawn")
    done = run(programs / "gkcmn", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["query"] == query and 0 <= answer["begin"] < answer["end"] <= 48
    assert sorted(path.suffix for path in (tmp_path / "drawn").iterdir()) == [".mp4", ".png"]

    # The same model is exported for model servers.
    exported = ("export", "saved-model", "--preset=gkcmn_shapes", "--output_dir=gkcmn/1")
    done = run(programs / "gkcmn", *exported, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    warm = (*exported[:-1], "--output_dir=gkcmn/2", "--warmup_video=a.mp4", "--warmup_query=red")
    done = run(programs / "gkcmn", *warm, cwd=tmp_path)
    remedy = "writing warm-up requests needs the package tensorflow-serving-api: pip install "
    assert (done.returncode, done.stderr) == (2, f"error: {remedy}'gkcmn-tf[serving]'\n")
