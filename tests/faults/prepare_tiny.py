"""Prepares a VidSTG data set with a fast feature extractor; no tests."""

import sys

from data import prepare, vidstg
from gkcmn_tf import program
from tests.data.mean_extractor import make_extractor


def main(argv):
    """Arguments: folder of the data set, folder of the records."""
    _, root, output_dir = argv
    paths = vidstg.find_vidor_annotations(f"{root}/vidor")
    found = vidstg.read_split("val", f"{root}/annotations", paths)
    prepare.prepare(
        {"val": found},
        make_extractor,
        fingerprint=make_extractor().fingerprint,
        dataset="vidstg",
        video_dir=f"{root}/videos",
        output_dir=output_dir,
        arguments={},
    )


if __name__ == "__main__":
    sys.exit(program.run(main))
