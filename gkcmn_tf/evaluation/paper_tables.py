r"""Trains and evaluates the models of Tables 1 to 3 of the paper and GKCMN+, and writes tables.

Examples:
    python -m gkcmn_tf.evaluation.paper_tables --study=paper --study=plus --seeds=0,1,2,3,4,5 \
        --config_file=configs/shapes_long.yaml \
        --params_override=data.records_dir=runs/long/records --output_dir=runs/tables
    python -m gkcmn_tf.evaluation.paper_tables --study=open --split=val \
        --config_file=configs/shapes.yaml \
        --params_override=data.records_dir=runs/demo/records,train.steps=600,train.decay_steps=400 \
        --output_dir=runs/open

The study `paper` has BM, GKCMN and its ablations, the study `plus` GKCMN trained with Adam and
GKCMN+. The study `open` compares alternatives for details that the paper does not specify, one at
a time, with the default GKCMN. The study `features` compares features of random and of pre-trained
I3D weights; it requires records made with `--i3d_weights=kinetics400` in RECORDS_DIR_kinetics400.
The study `blind` trains and evaluates GKCMN with a part of the input withheld
(`gkcmn_tf.records.blinding`), and adds a constant tube.

Each variant is trained once per seed, in OUTPUT_DIR/VARIANT/seed_S, and evaluated with and without
temporal ground truth; OUTPUT_DIR/VARIANT/seed_S.json has its results, also those of each video. To
resume an interrupted run, repeat the command. A run whose results exist is not repeated, so that
runs of other machines can be added to OUTPUT_DIR. The program writes tables.md with mean and
standard deviation over the seeds, and the results that the paper reports for VidSTG. If the split
has absent sentences and minimal pairs, a table of their metrics follows.
"""

import functools
import itertools
import json
import operator
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from absl import app, flags, logging

from gkcmn_tf import config as configs
from gkcmn_tf import program
from gkcmn_tf.evaluation.bootstrap import clustered_error
from gkcmn_tf.evaluation.paired_seeds import paired_difference
from gkcmn_tf.evaluation.studies import BLIND, FEATURES, OPEN, PLUS, STUDIES, VARIANTS, Variant
from gkcmn_tf.files import read_json, write_json, write_text
from gkcmn_tf.metric_names import TABLE_METRICS

FLAGS = flags.FLAGS
RESUMES = True


# Reference for m_tIoU in the paper.
WHOLE_CLIP = (
    "**Whole clip as answer**, without a model: m_tIoU 39.45 / 39.81 (declarative / interrogative "
    "sentences) on VidSTG's test split, in a count that gave 40.47 / 40.55 on its validation "
    "split. There `python -m data.trivial_guess --dataset=vidstg --annotation_dir=VIDSTG "
    "--split=val` gives 40.44 / 40.52: it also counts each clip's last frame."
)
ANCHOR_FREE = ("bm", "full")
ABLATED = ("without_sc", "without_pc", "without_mn", "without_ta", "without_sk", "full")


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_multi_string(
        "config_file",
        [],
        "YAML file of config overrides; repeat the flag to apply several, in order.",
    )
    flags.DEFINE_string("params_override", None, "Config overrides: key.subkey=value,...")
    flags.DEFINE_string("output_dir", None, "Output folder for runs and tables.", required=True)
    flags.DEFINE_list("seeds", ["0", "1", "2"], "Training seeds.")
    flags.DEFINE_multi_enum("study", ["paper"], list(STUDIES), "Study to run; repeatable.")
    flags.DEFINE_list(
        "variants", None, "Variants to run; default: all. A table requires all of its variants."
    )
    flags.DEFINE_string("split", "test", "Split to evaluate.")


def main(argv):
    """Trains and evaluates missing variants, then writes and prints the tables."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    study = dict(itertools.chain.from_iterable(STUDIES[name].items() for name in FLAGS.study))
    names = list(study) if FLAGS.variants is None else FLAGS.variants
    if unknown := sorted(set(names) - study.keys()):
        raise app.UsageError(f"--variants: {unknown} not among {list(study)}")
    logging.set_verbosity(logging.INFO)
    seeds = [int(seed) for seed in FLAGS.seeds]
    # Seed by seed, so that an interrupted run has results of all variants for some seeds.
    jobs = [(name, seed) for seed in seeds for name in names]
    check_results(jobs)
    missing = [job for job in jobs if not os.path.exists(results_path(*job))]
    check_records(dict(missing))
    start = time.monotonic()
    for number, (name, seed) in enumerate(missing, 1):
        logging.info("%d of %d: %s, seed %d", number, len(missing), VARIANTS[name].title, seed)
        run_variant(name, seed)
        logging.info("%d of %d done, %.0f s so far", number, len(missing), time.monotonic() - start)
    scores = {name: [read_json(results_path(name, seed)) for seed in seeds] for name in names}
    text = format_tables(scores, seeds)
    write_text(os.path.join(FLAGS.output_dir, "tables.md"), text)
    print(text)


def results_path(name: str, seed: int) -> str:
    """File with the results of a run, as returned by `read_scores`, and its `config`."""
    return f"{_run_folder(name, seed)}.json"


def _run_folder(name, seed):
    return os.path.join(FLAGS.output_dir, name, f"seed_{seed}")


def config_of(name: str, seed: int) -> dict:
    """The config of a run, flat, without the location of its records."""
    variant = VARIANTS[name]
    config = configs.flat(configs.load(variant.experiment, *_run_changes(variant, seed)))
    return {key: value for key, value in config.items() if key != "data.records_dir"}


def _run_changes(variant, seed):
    """As `changes`, with the seed of a run."""
    files, overrides = changes(variant, FLAGS.config_file, FLAGS.params_override)
    return files, ",".join(filter(None, [overrides, f"train.seed={seed}"]))


def check_results(jobs: Sequence[tuple[str, int]]) -> None:
    """Raises an error if results of another config or split are in the output folder.

    Settings that did not exist when the results were written are not compared.
    """
    for name, seed in jobs:
        path = results_path(name, seed)
        if not os.path.exists(path):
            continue
        known = read_json(path)
        now = {"split": FLAGS.split} | json.loads(json.dumps(config_of(name, seed)))
        before = {"split": known["split"]} | known["config"]
        if changed := sorted(key for key in now if before.get(key, now[key]) != now[key]):
            raise ValueError(
                f"{path}: results of a run with another {changed[0]}: {before[changed[0]]!r}, not "
                f"{now[changed[0]]!r}; use another --output_dir"
            )


def check_records(names: Iterable[str]) -> None:
    """Raises an error before training if a config or records are missing."""
    # TensorFlow takes seconds to import, and --help does not need it.
    from gkcmn_tf.records import clip_records  # noqa: PLC0415

    for name in names:
        variant = VARIANTS[name]
        files, overrides = changes(variant, FLAGS.config_file, FLAGS.params_override)
        data = configs.load(variant.experiment, files, overrides).data
        try:
            for split in (data.train_split, FLAGS.split):
                clip_records.clip_shards(data.records_dir, split)
        except FileNotFoundError as error:
            raise FileNotFoundError(f"variant {name}: {error}") from error


def changes(
    variant: Variant, config_files: Sequence[str], params_override: str | None
) -> tuple[list[str], str]:
    """Config files and overrides of a variant, including those of the data set."""
    files = [*config_files, *([variant.config] if variant.config else [])]
    overrides = [params_override] if params_override else []
    overrides += [
        f"model.{variant.experiment}.{key}={json.dumps(value, separators=(',', ':'))}"
        for key, value in variant.settings.items()
    ]
    if variant.weights:
        overrides.append(f"data.i3d_weights={variant.weights}")
    if variant.weights == "kinetics400":
        records_dir = configs.load(variant.experiment, files, params_override).data.records_dir
        overrides.append(f"data.records_dir={records_dir.rstrip('/')}_kinetics400")
    if variant.blind != "none":
        overrides.append(f"data.blind={variant.blind}")
    if variant.optimizer:
        overrides.append(f"train.optimizer={variant.optimizer}")
    return files, ",".join(overrides)


def run_variant(name: str, seed: int) -> None:
    """Trains and evaluates a variant, and writes its results; continues an interrupted training.

    A constant tube is evaluated with the settings of the full model, which is trained if necessary.
    """
    variant = VARIANTS[name]
    trained = "full" if variant.constant else name
    guess = ("--trivial_guess", "--best_segment") if variant.constant else ()
    folder, model_dir = _run_folder(name, seed), _run_folder(trained, seed)
    train_variant(VARIANTS[trained], seed, model_dir)
    for given, output in ((False, folder), (True, os.path.join(folder, "given"))):
        call(
            "evaluate",
            f"--model_dir={model_dir}",
            f"--split={FLAGS.split}",
            f"--output_dir={output}",
            f"--temporal_ground_truth={json.dumps(given)}",
            *guess,
        )
    results = {"split": FLAGS.split, "config": config_of(name, seed)} | read_scores(folder)
    write_json(results_path(name, seed), results, indent=None)


def train_variant(variant: Variant, seed: int, folder: str) -> None:
    """Trains a variant in `folder`, or continues its training."""
    files, overrides = _run_changes(variant, seed)
    call(
        "train",
        f"--experiment={variant.experiment}",
        *(f"--config_file={path}" for path in files),
        f"--params_override={overrides}",
        f"--model_dir={folder}",
        "--mode=train",
    )


def call(name: str, *arguments: str) -> None:
    """Runs a program of the library in a subprocess; raises `ProgramError` if it fails."""
    command = [sys.executable, "-m", f"gkcmn_tf.{name}", *arguments]
    done = subprocess.run(command, stdout=sys.stderr, check=False)
    if done.returncode:
        raise program.ProgramError(f"failed with code {done.returncode}: {' '.join(command)}")


def read_scores(folder: str) -> dict:
    """Metrics of a run.

    Returns:
        `found` without and `given` with temporal ground truth; `absent` and `pairs` if the split
        has absent sentences and minimal pairs; `videos`, for each video in the order of their ids,
        its number of `sentences` and their m_vIoU, as `found` and `given`.
    """
    found, given = (
        read_json(os.path.join(folder, *parts, "metrics.json")) for parts in ([], ["given"])
    )
    videos = sorted(found["per_video"])
    return {
        "found": found["overall"],
        "given": given["overall"],
        **{name: found[name] for name in ("absent", "pairs") if name in found},
        "videos": {
            "sentences": [found["per_video"][video]["sentences"] for video in videos],
            **{
                key: [round(metrics["per_video"][video]["m_vIoU"], 5) for video in videos]
                for key, metrics in (("found", found), ("given", given))
            },
        },
    }


def format_tables(scores: Mapping[str, Sequence[dict]], seeds: Sequence[int]) -> str:
    """Formats the tables as Markdown.

    Args:
        scores: results of `read_scores` for each seed, by variant. Tables with missing variants are
            omitted.
        seeds: seeds of the runs, in the same order.
    """
    parts = []
    given_metrics = TABLE_METRICS[1:]
    for title, names, key, columns, comment in (
        ("Table 1, anchor-free rows", ANCHOR_FREE, "found", TABLE_METRICS, None),
        ("Table 2, with the temporal ground truth", ANCHOR_FREE, "given", given_metrics, None),
        ("Table 3, ablations", ABLATED, "found", TABLE_METRICS, _ablation_changes),
        ("Beyond the paper", PLUS, "found", TABLE_METRICS, _plus_changes),
        ("Beyond the paper, with the temporal ground truth", PLUS, "given", given_metrics, None),
        ("What the paper leaves open", OPEN, "found", TABLE_METRICS, _open_changes),
        ("Without a part of the input", BLIND, "found", TABLE_METRICS, _blind_shares),
        ("Which features", FEATURES, "found", TABLE_METRICS, _feature_changes),
        ("Which features, with the temporal ground truth", FEATURES, "given", given_metrics, None),
    ):
        if scores.keys() >= set(names):
            parts.append(f"### {title}\n\n" + _table(scores, names, key, columns))
            parts += [comment(scores)] if comment else []
    contrasts = [name for name, runs in scores.items() if all("absent" in run for run in runs)]
    if contrasts:
        parts.append(_contrast_table(scores, contrasts))
    head = f"Mean and standard deviation in percent over the seeds {', '.join(map(str, seeds))}."
    if any("| paper " in part for part in parts):
        head += (
            " *Paper* is what the paper reports for VidSTG, **another data set**: compare the "
            "order of rows, not the numbers."
        )
    if any("| paper m_tIoU " in part for part in parts):
        head += f"\n\n{WHOLE_CLIP}"
    return "\n\n".join([head, *parts]) + "\n"


def _table(scores, names, key, columns):
    papers = [_paper(name, key) for name in names]
    header = ["", *columns, *(f"paper {column}" for column in columns if all(papers))]
    lines = [header, ["---"] + ["---:"] * (len(header) - 1)]
    for name, paper in zip(names, papers, strict=True):
        values = 100 * np.array([[run[key][column] for column in columns] for run in scores[name]])
        beside = [f"{figure:.2f}" for figure in paper if all(papers)]
        lines.append([VARIANTS[name].title, *map(_spread, values.T), *beside])
    return _markdown(lines)


def _markdown(lines):
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


CONTRASTS = {
    "AUROC": ("absent", "AUROC"),
    "false alarms": ("absent", "false_alarms"),
    "word vIoU@0.3": ("pairs", "word", "vIoU@0.3"),
    "word vIoU@0.5": ("pairs", "word", "vIoU@0.5"),
    "moved tIoU@0.5": ("pairs", "moved", "tIoU@0.5"),
    "moved vIoU@0.3": ("pairs", "moved", "vIoU@0.3"),
    "moved vIoU@0.5": ("pairs", "moved", "vIoU@0.5"),
}


def _contrast_table(scores, names):
    """Metrics of absent sentences and of minimal pairs."""
    first = scores[names[0]][0]
    columns = {
        title: path
        for title, path in CONTRASTS.items()
        if path[0] == "absent" or path[1] in first.get("pairs", {})
    }
    lines = [["", *columns], ["---"] + ["---:"] * len(columns)]
    for name in names:
        values = 100 * np.array(
            [
                [functools.reduce(operator.getitem, path, run) for path in columns.values()]
                for run in scores[name]
            ]
        )
        lines.append([VARIANTS[name].title, *map(_spread, values.T)])
    counts = [f"{first['absent']['sentences']} absent sentences"]
    counts += [f"{row['pairs']} {kind} pairs" for kind, row in first.get("pairs", {}).items()]
    head = f"### Absent sentences and minimal pairs\n\n{', '.join(counts)}:"
    return f"{head}\n\n{_markdown(lines)}"


def _paper(name, key):
    return VARIANTS[name].paper if key == "found" else VARIANTS[name].paper_given


def _spread(values):
    """Formats `mean ± sample standard deviation`; the latter only for several values."""
    mean = f"{values.mean():.2f}"
    return f"{mean} ± {values.std(ddof=1):.2f}" if len(values) > 1 else mean


def _plus_changes(scores):
    """Differences in m_vIoU between what is not in the paper and GKCMN."""
    return _change_lines(scores, [name for name in PLUS if name != "full"])


def _ablation_changes(scores):
    """Differences in m_vIoU between each ablation and the full model."""
    return _change_lines(scores, [name for name in ABLATED if name != "full"])


def _open_changes(scores):
    """Differences in m_vIoU between each alternative and the default."""
    return _change_lines(scores, [name for name in OPEN if name != "full"])


def _feature_changes(scores):
    """Difference in m_vIoU between the features of pre-trained and of random I3D weights."""
    return _change_lines(scores, ["kinetics400"], reference="random_i3d")


def _blind_shares(scores):
    """m_vIoU without a part of the input, as a share of that with the whole input."""
    means = {name: np.mean([run["found"]["m_vIoU"] for run in scores[name]]) for name in BLIND}
    lines = [
        f"- {VARIANTS[name].title}: {mean / max(means['full'], 1e-9):.1%}"
        for name, mean in means.items()
        if name != "full"
    ]
    return "\n".join([f"m_vIoU as a share of that of {VARIANTS['full'].title}:", "", *lines])


def _change_lines(scores, names, reference="full"):
    lines = [
        f"m_vIoU minus that of {VARIANTS[reference].title} with the same seed, with its 95 % "
        "interval over seeds and videos and the p-value of a sign-flip test over the seeds; and "
        "the same with the temporal ground truth:",
        "",
    ]
    for name in names:
        found, given = (
            _difference(scores[name], scores[reference], key) for key in ("found", "given")
        )
        lines.append(
            f"- {VARIANTS[name].title}: {found}: **{found.verdict}**; "
            f"given: {given}: **{given.verdict}**"
        )
    return "\n".join(lines)


def _difference(runs, reference, key):
    """Difference in m_vIoU in percent."""
    values, others = ([100 * run[key]["m_vIoU"] for run in group] for group in (runs, reference))
    means = [np.mean([run["videos"][key] for run in group], axis=0) for group in (runs, reference)]
    sizes = np.array(runs[0]["videos"]["sentences"])
    error = 100 * clustered_error(means[0] - means[1], sizes)
    return paired_difference(values, others, error_over_videos=error)


if __name__ == "__main__":
    program.run(main, define_flags)
