"""Variants of the model that `paper_tables` trains and compares, by study."""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Variant:
    """A model variant in a table, with the results of the paper on VidSTG in percent.

    Example:
        >>> from gkcmn_tf.evaluation.studies import Variant
        >>> Variant("sigma of 3 cells", settings={"sigma": 3.0}).experiment
        'gkcmn'

    Attributes:
        title: title of the row.
        experiment: name of the registered experiment.
        config: YAML file of config overrides.
        settings: overrides of model arguments.
        weights: I3D weights of the features; empty for those of the config. Records of
            `kinetics400` are read from the records folder with the suffix `_kinetics400`.
        blind: value of `data.blind`.
        optimizer: value of `train.optimizer`; empty for that of the config.
        constant: whether each prediction is the trivial guess with the best segment, instead of the
            output of a model (see `trivial_guess`).
        paper: results in Tables 1 and 3, in the order of `TABLE_METRICS`.
        paper_given: results in Table 2, with temporal ground truth; the same without m_tIoU.
    """

    title: str
    experiment: str = "gkcmn"
    config: str | None = None
    settings: Mapping[str, object] = dataclasses.field(default_factory=dict)
    weights: str = ""
    blind: str = "none"
    optimizer: str = ""
    constant: bool = False
    paper: tuple[float, ...] = ()
    paper_given: tuple[float, ...] = ()


EVEN_WIDTHS = [28.0, 56.0, 84.0, 112.0, 140.0, 168.0, 196.0]
PAPER = {
    "bm": Variant("BM", "bm", paper=(32.62, 7.21, 9.03, 3.87), paper_given=(22.37, 34.92, 16.33)),
    "full": Variant("GKCMN", paper=(55.01, 19.26, 23.53, 15.41), paper_given=(37.25, 52.67, 34.51)),
    "without_sc": Variant(
        "w/o SC", config="configs/ablations/without_sc.yaml", paper=(54.16, 18.76, 22.35, 13.86)
    ),
    "without_pc": Variant(
        "w/o PC", config="configs/ablations/without_pc.yaml", paper=(54.22, 18.62, 22.17, 13.28)
    ),
    "without_mn": Variant(
        "w/o MN", config="configs/ablations/without_mn.yaml", paper=(53.27, 17.28, 21.59, 12.86)
    ),
    "without_ta": Variant(
        "w/o TA", config="configs/ablations/without_ta.yaml", paper=(53.13, 18.88, 22.81, 14.73)
    ),
    "without_sk": Variant(
        "w/o SK", config="configs/ablations/without_sk.yaml", paper=(54.95, 18.29, 22.68, 14.27)
    ),
}
PLUS = {
    "full": PAPER["full"],
    "adam": Variant("with Adam", optimizer="adam"),
    "plus": Variant("GKCMN+", config="configs/gkcmn_plus.yaml"),
}
OPEN = {"full": PAPER["full"]} | {
    name: Variant(title, settings=settings)
    for name, title, settings in (
        ("sentence_max", "sentence: its words' maximum", {"sentence_pooling": "max"}),
        ("sentence_attention", "sentence: a mean per cell", {"sentence_pooling": "attention"}),
        ("wide_interaction", "F1 of 192 channels", {"interaction_width": 192}),
        ("sigma_1_5", "sigma of 1.5 cells", {"sigma": 1.5}),
        ("sigma_3", "sigma of 3 cells", {"sigma": 3.0}),
        ("adaptive_sigma", "sigma of half the box", {"sigma": 1.1, "relative_sigma": 0.5}),
        ("empty_steps", "empty heatmaps around the tube", {"empty_steps": True}),
        ("even_widths", "widths 28, 56, ... 196", {"candidate_widths": EVEN_WIDTHS}),
        ("delta_0_7", "delta of 0.7", {"high_score_ratio": 0.7}),
        ("relative_offsets", "offsets in candidates' widths", {"offset_unit": "width"}),
        ("attention_pooling", "each step weighs its cells", {"attention_pooling": True}),
        ("box_smoothing", "boxes smoothed over time", {"box_smoothing": 0.5}),
    )
}
FEATURES = {
    "random_i3d": Variant("random I3D weights", weights="random:0"),
    # Without dropout: the best of 0, 0.1, 0.25, 0.5 and 0.7 on validation after 600 steps, seed 0.
    "kinetics400": Variant(
        "Kinetics-400 I3D weights", weights="kinetics400", settings={"feature_dropout": 0.0}
    ),
}
BLIND = {
    "full": PAPER["full"],
    "constant": Variant("constant tube", constant=True),
    "sentence_only": Variant("sentence only", blind="sentence_only"),
    "video_only": Variant("video only", blind="video_only"),
    "one_frame": Variant("one frame only", blind="one_frame"),
    "shuffled_frames": Variant("frames shuffled", blind="shuffled_frames"),
}
STUDIES = {
    "paper": PAPER,
    "plus": PLUS,
    "open": OPEN,
    "features": FEATURES,
    "blind": BLIND,
}
VARIANTS = PAPER | PLUS | OPEN | FEATURES | BLIND
