"""Flags that select a data set, and functions that read its annotations."""

from collections.abc import Mapping
from typing import Any

from absl import flags

from gkcmn_tf.records.clip_records import ABSENT_SUFFIX

from . import annotations, custom, hcstvg, mirroring, vidstg, vidstg_contrasts
from .annotations import SplitAccount, SplitAnnotations

FLAGS = flags.FLAGS
# Ends of the names of splits that are made from others.
DERIVED = (ABSENT_SUFFIX, mirroring.SPLIT_SUFFIX)
READERS = {"vidstg": vidstg, "hcstvg": hcstvg, "custom": custom}


def define_flags() -> None:
    """Defines the flags for the data set, its folders and its splits."""
    flags.DEFINE_enum("dataset", None, list(READERS), "Format of the data set.", required=True)
    flags.DEFINE_string(
        "annotation_dir",
        None,
        "Folder with SPLIT_annotations.json (vidstg), SPLIT.json or SPLIT_v2.json (hcstvg), "
        "SPLIT.jsonl or SPLIT.csv (custom).",
        required=True,
    )
    flags.DEFINE_string(
        "vidor_dir",
        None,
        "Folder with VidOR's training/ and validation/ annotations (vidstg only).",
    )
    flags.DEFINE_string(
        "video_dir",
        None,
        "Folder with the videos: GROUP/VIDEO.mp4 (vidstg), any subfolders (hcstvg), or the paths "
        "given in the annotations (custom).",
    )
    flags.DEFINE_list(
        "split",
        None,
        f"Splits to read; default: all of {', '.join(annotations.SPLITS)} with an annotation file.",
    )
    flags.DEFINE_integer(
        "limit", None, "Maximum number of videos per split; default: all.", lower_bound=1
    )
    flags.DEFINE_bool(
        "annotations_only",
        False,
        "Only print the numbers of kept and skipped sentences, as one line of JSON per split. "
        "Needs neither videos nor VidOR annotations.",
    )
    flags.register_multi_flags_validator(
        ["dataset", "vidor_dir", "video_dir", "annotations_only"], _check_folders
    )


def _check_folders(values: Mapping[str, Any]) -> bool:
    if values["vidor_dir"] and values["dataset"] != "vidstg":
        raise flags.ValidationError("--vidor_dir is only valid with --dataset=vidstg")
    if not values["annotations_only"]:
        needed = ["video_dir", "vidor_dir"][: 1 + (values["dataset"] == "vidstg")]
        for name in needed:
            if not values[name]:
                raise flags.ValidationError(f"--{name} is required without --annotations_only")
    return True


def read_annotations() -> dict[str, SplitAnnotations]:
    """Reads the annotations of the selected splits, with absent sentences as splits of their own.

    Returns:
        `SplitAnnotations` by split; those of absent sentences by `SPLIT_absent`.

    Raises:
        FileNotFoundError: a split has no annotation file, or VidOR annotations are missing.
        ValueError: an annotation file cannot be parsed, or a split has the name of one that is
            made from others.
    """
    if FLAGS.dataset == "vidstg":
        source = vidstg.find_vidor_annotations(FLAGS.vidor_dir)
    elif FLAGS.dataset == "hcstvg":
        source = hcstvg.find_videos(FLAGS.video_dir)
    else:
        source = FLAGS.video_dir
    read = READERS[FLAGS.dataset].read_split
    found = {}
    for split in _find_splits():
        found[split] = read(split, FLAGS.annotation_dir, source, FLAGS.limit)
        if FLAGS.dataset == "vidstg":
            absent = vidstg_contrasts.read_absent(
                split, FLAGS.annotation_dir, found[split], FLAGS.limit
            )
            if absent is not None:
                found[split + ABSENT_SUFFIX] = absent
    return found


def account_annotations() -> dict[str, SplitAccount]:
    """Counts the sentences of the selected splits; same errors as `read_annotations`."""
    account = READERS[FLAGS.dataset].account_split
    return {split: account(split, FLAGS.annotation_dir, FLAGS.limit) for split in _find_splits()}


def _find_splits() -> list[str]:
    if FLAGS.split:
        for split in FLAGS.split:
            if split.endswith(DERIVED) or "+" in split:
                raise ValueError(
                    f"--split={split}: a name cannot contain +, nor end in "
                    f"{' or '.join(DERIVED)}, as splits made by data.prepare do; rename the file"
                )
        return FLAGS.split
    forms = READERS[FLAGS.dataset].ANNOTATION_FILES
    found, reasons = [], []
    for split in annotations.SPLITS:
        try:
            annotations.find_annotation_file(split, FLAGS.annotation_dir, forms)
            found.append(split)
        except FileNotFoundError as error:
            reasons.append(str(error))
    if not found:
        raise FileNotFoundError("; ".join(reasons))
    return found
