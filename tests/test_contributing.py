"""The examples in CONTRIBUTING.md, applied to a copy of the repository, as written there."""

import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest
import yaml

from tests.gkcmn_tf.tiny_records import write_records

ROOT = pathlib.Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
SECTIONS = dict(
    re.findall(r"^## (Add .*?)\n(.*?)(?=^## |\Z)", TEXT, flags=re.MULTILINE | re.DOTALL)
)
ABLATION = "Add an ablation"
BLOCK = re.compile(
    r"(?:^`(?P<file>[\w/.]+)`\n\n)?^```(?P<language>\w+)\n(?P<content>.*?)^```",
    flags=re.MULTILINE | re.DOTALL,
)
# Small enough for seconds of training: names and values that configs/shapes.yaml sets otherwise.
SMALL = (
    "model.gkcmn.word_width=8,model.gkcmn.sentence_width=8,model.gkcmn.fusion_width=8,"
    "model.gkcmn.attention_heads=2,data.max_steps=6,data.grid_size=2,data.feature_channels=3,"
    "data.i3d_weights=,train.steps=2,train.decay_steps=0,train.global_batch_size=4,"
    "train.steps_per_loop=1,train.checkpoint_interval=2,train.eval_interval=2,"
    "runtime.precision=float32"
)

pytestmark = pytest.mark.slow


def blocks(title, language):
    """Returns file names and contents of the blocks of a language in a section."""
    return [
        (block["file"], block["content"])
        for block in BLOCK.finditer(SECTIONS[title])
        if block["language"] == language
    ]


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the repository's sources with all examples applied."""
    folder = tmp_path_factory.mktemp("contributing")
    ignored = shutil.ignore_patterns("__pycache__", "presets", "samples", "*.png")
    for name in ("gkcmn_tf", "data", "export", "configs", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for title in SECTIONS:
        for _, content in blocks(title, "diff"):
            done = subprocess.run(
                ["git", "apply", "-"],
                cwd=folder,
                env=os.environ | {"GIT_CEILING_DIRECTORIES": str(folder.parent)},
                input=content,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{title}: {done.stderr}"
        for language in ("python", "yaml"):
            for file, content in blocks(title, language):
                path = folder / file
                assert not path.exists()
                path.write_text(content, encoding="utf-8")
    return folder


def run(copy, *arguments):
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=copy,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_there_is_an_example_for_each_extension():
    assert list(SECTIONS) == [ABLATION, "Add a data set", "Add a head", "Add an export format"]


def test_the_documented_command_trains_the_ablation(copy):
    ((_, commands),) = blocks(ABLATION, "bash")
    command = shlex.split(commands.replace("\\\n", "").splitlines()[0])
    assert command[0] == "python"
    records, model_dir = copy / "records", copy / "runs" / "without_br"
    write_records(records)
    here = [
        f"{argument.replace('runs/demo/records', str(records))},{SMALL}"
        if argument.startswith("--params_override=")
        else argument
        for argument in command[1:]
    ]
    run(copy, *here)
    settings = yaml.safe_load((model_dir / "params.yaml").read_text())
    assert settings["model"]["gkcmn"]["boundary_regression"] is False
    assert (model_dir / "ckpt-2.index").exists()


def test_all_examples_work(copy):
    run(
        copy,
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib"),
        *("tests/gkcmn_tf/modeling/test_without_br.py", "tests/contributed_examples.py"),
    )


def test_the_examples_follow_the_style(copy):
    shutil.copy(ROOT / "pyproject.toml", copy)
    new = [file for title in SECTIONS for file, _ in blocks(title, "python")]
    changed = re.findall(r"^\+\+\+ b/(.*)$", TEXT, flags=re.MULTILINE)
    for check in (["check"], ["format", "--check"]):
        run(copy, "-m", "ruff", *check, *new, *changed)
