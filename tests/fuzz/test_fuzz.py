"""Every parser of untrusted files, with a few hundred inputs; `make fuzz` runs many more."""

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz.limits import limited
from tests.fuzz.parsers import make_parsers

INPUTS = 60
NAMES = [
    *("val_annotations.json", "vidor", "train.json", "val.jsonl", "val.csv"),
    *("predictions", "ground_truth", "features_json", "glove.txt", "glove.gz"),
    *("config.yaml", "params_override", "arrays.pickle", "video.npz"),
    *("clips/val-00000-of-00001.tfrecord", "features/v.tfrecord"),
    *("config.json", "vocabulary.txt", "model.weights.h5"),
]


@pytest.fixture(scope="module")
def parsers(tmp_path_factory):
    return make_parsers(tmp_path_factory.mktemp("parsers"))


def test_every_parser_is_listed(parsers):
    assert sorted(parsers) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_only_documented_errors(name, parsers, tmp_path):
    parser = parsers[name]
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    for content in parser.valid:
        assert parser.check(str(path), content) == ""

    @settings(
        max_examples=int(INPUTS * parser.share),
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(parser.inputs)
    def check(content):
        with limited():
            parser.check(str(path), content)

    check()
