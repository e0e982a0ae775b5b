import pathlib

import pytest

from gkcmn_tf import config

ROOT = pathlib.Path(__file__).parents[2]


def test_defaults_equal_the_paper():
    experiment = config.load("gkcmn")
    model, data, train = experiment.model.gkcmn, experiment.data, experiment.train
    assert (data.max_steps, data.max_words, model.word_width) == (200, 20, 300)
    assert (model.video_width, model.heatmap_size, model.attention_layers) == (32, 16, 2)
    assert (model.score_threshold, model.positive_heat, model.high_score_ratio) == (0.3, 0.8, 0.9)
    assert model.loss_weights == (1.0, 2.0, 0.2, 0.1)
    assert train.learning_rate == 0.003


def test_later_changes_take_precedence(tmp_path):
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("train: {steps: 5, seed: 1}")
    second.write_text("train: {seed: 2}\nmodel: {gkcmn: {sigma: 1}}")
    experiment = config.load("gkcmn", [str(first), str(second)], "train.seed=3")
    assert (experiment.train.steps, experiment.train.seed) == (5, 3)
    assert experiment.model.gkcmn.sigma == 1


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.sped=3", "unknown key train.sped; did you mean train.seed or train.steps?"),
        ("trian.steps=3", "unknown key trian; did you mean train?"),
        ("data: {steps: 3}", "unknown key data.steps; did you mean train.steps?"),
        ("model.bm.sigma=3", "unknown key model.bm.sigma; did you mean model.gkcmn.sigma?"),
        ("flurble=3", "--params_override: unknown key flurble"),
        ("runtime.jit_compile=false", "unknown key runtime.jit_compile"),
        (
            "train.seed",
            "--params_override: expected YAML or key.subkey=value,..., got",
        ),
        ("train.seed=a", "train.seed: expected int, got 'a'"),
        ("train: {steps: 3.5}", "train.steps: expected int, got 3.5"),
        ("train.steps=0", "train.steps: expected a positive value, got 0"),
        ("model.type=foo", "model.type: expected one of gkcmn, bm; got 'foo'"),
        ("model.gkcmn.sigma=-1", "model.gkcmn.sigma: expected a positive value, got -1"),
        ("model.gkcmn.sigma=true", "model.gkcmn.sigma: expected float, got True"),
        ("model.gkcmn.candidate_widths=[]", "candidate_widths: expected a list of float"),
        ("model.gkcmn.candidate_widths=[8, x]", "candidate_widths: expected float, got 'x'"),
        ("model.gkcmn.loss_weights=[1, 2]", "model.gkcmn.loss_weights: expected 4 values"),
        ("model.gkcmn.score_threshold=2", "score_threshold: expected at most 1"),
        ("data.blind=half", "data.blind: expected one of none, sentence_only, video_only"),
        ("model.gkcmn.sentence_width=65", "sentence_width: expected an even number"),
        ("model.gkcmn.temporal_width=30", "30 is not a multiple of model.gkcmn.attention_heads"),
        ("train.eval_interval=150", "150 is not a multiple of train.steps_per_loop, 100"),
        ("train.steps=10,train.decay_steps=20", "train.decay_steps: 20 exceeds train.steps"),
        ("model.gkcmn.sentence_pooling=last", "sentence_pooling: expected one of mean, max, att"),
        ("model.gkcmn.offset_unit=frame", "offset_unit: expected one of step, width; got 'frame'"),
        ("runtime.precision=fp8", "runtime.precision: expected one of float32"),
        ("runtime.distribution_strategy=tpu", "runtime.tpu: expected an address"),
        ("train.learning_rate=.nan", "train.learning_rate: expected a finite number, got nan"),
        ("train: {clip_norm: .inf}", "train.clip_norm: expected a finite number, got inf"),
        ("train: {steps: }", "train.steps: expected int, got None"),
        ("{bad", "--params_override"),
        ("model=3", "--params_override: model: expected keys and values, got 3"),
        ("model.gkcmn=[1]", "--params_override: model.gkcmn: expected keys and values, got [1]"),
        ("train: {steps: {a: 1}}", "--params_override: unknown key train.steps.a"),
        ("model.gkcmn.sigma=.nan", "model.gkcmn.sigma: expected a finite number, got nan"),
        ("model.gkcmn.candidate_widths=[8, .inf]", "candidate_widths: expected a finite number"),
        ("train.seed=12345678901234567890", "train.seed: expected at most 4294967295"),
        ("data.max_steps=1000000000", "data.max_steps: expected at most 10000"),
        ("train.ema_momentum=1", "train.ema_momentum: expected less than 1"),
        # An integer that no float holds; YAML allows underscores.
        (f"train: {{learning_rate: {'9_' * 400}}}", "train.learning_rate: expected at most"),
        ("model.gkcmn.sigma=[]", "model.gkcmn.sigma: expected a single value, got []"),
        ("runtime: {precision: [{}, a]}", "runtime.precision: expected a single value"),
        ("model: {gkcmn: {candidate_widths: [[]]}}", "widths: expected a list of single values"),
        ("data: &a {max_steps: *a}", "--params_override: keys or lists are nested too deeply"),
        ("- " * 2000, "--params_override: keys or lists are nested too deeply"),
        ("[" * 101, "--params_override: more than 100 brackets inside of each other"),
    ],
)
def test_errors_for_bad_values_name_the_key(override, message):
    with pytest.raises(ValueError) as error:
        config.load("gkcmn", [], override)
    assert message in str(error.value)


def test_a_text_without_a_value_is_empty(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("data: {i3d_weights: random:0, records_dir: here}")
    experiment = config.load("gkcmn", [str(path)], "data.i3d_weights=,train.steps=3")
    assert (experiment.data.i3d_weights, experiment.data.records_dir) == ("", "here")
    assert experiment.train.steps == 3
    path.write_text("data:\n  records_dir:\n")
    assert config.load("gkcmn", [str(path)]).data.records_dir == ""


def test_errors_name_the_file(tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text("data: {no_such_key: 1}")
    with pytest.raises(ValueError, match=r"broken\.yaml: unknown key data\.no_such_key$"):
        config.load("gkcmn", [str(path)])
    path.write_text("model: {gkcmn: {temporal_widht: 8}}")
    with pytest.raises(ValueError, match=r"broken\.yaml.*did you mean model\.gkcmn\.temporal_w"):
        config.load("gkcmn", [str(path)])
    for text in ("- a list", "some words", ""):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"broken\.yaml: expected keys"):
            config.load("gkcmn", [str(path)])
    for content in (b"data: {records_dir: caf\xe9}", b"\x00\xff\xf2"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"broken\.yaml: expected text in UTF-8"):
            config.load("gkcmn", [str(path)])
    path.write_text("train:\n  steps: a: b\n")
    with pytest.raises(ValueError, match=r"(?s)broken\.yaml: not valid YAML: .*line 2"):
        config.load("gkcmn", [str(path)])
    path.write_text("{bad")
    with pytest.raises(ValueError, match=r"broken\.yaml: not valid YAML"):
        config.load("gkcmn", [str(path)])
    with pytest.raises(FileNotFoundError, match=r"missing\.yaml: no such config file"):
        config.load("gkcmn", [str(tmp_path / "missing.yaml")])
    with pytest.raises(ValueError, match="--experiment=foo: no such experiment; there are"):
        config.load("foo")
    with pytest.raises(ValueError, match=r"gkmcn: no such experiment; did you mean gkcmn\?"):
        config.load("gkmcn")


@pytest.mark.parametrize("experiment", ["gkcmn", "bm"])
@pytest.mark.parametrize(
    ("name", "max_steps", "max_words", "eval_split"),
    [("vidstg", 200, 20, "val"), ("hcstvg", 150, 30, "test")],
)
def test_configs_of_data_sets(experiment, name, max_steps, max_words, eval_split):
    data = config.load(experiment, [str(ROOT / "configs" / f"{name}.yaml")]).data
    assert (data.max_steps, data.max_words, data.eval_split) == (max_steps, max_words, eval_split)


@pytest.mark.parametrize("name", ["gkcmn", "bm"])
def test_a_saved_config_is_loaded_unchanged(name, tmp_path):
    experiment = config.load(name, [], "train.seed=7")
    config.save(experiment, str(tmp_path))
    again = config.saved(str(tmp_path))
    assert again.train.seed == 7
    assert config.as_dict(again) == config.as_dict(experiment)
    config.save(again, str(tmp_path / "again"))
    texts = [(folder / "params.yaml").read_text() for folder in (tmp_path, tmp_path / "again")]
    assert texts[0] == texts[1]


def test_loading_the_config_of_a_folder_without_a_run_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"is .* a --model_dir of"):
        config.saved(str(tmp_path))
