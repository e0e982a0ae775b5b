r"""Estimates the cost of extracting the features of a VidSTG split: windows, bytes and hours.

Example:
    python -m benchmarks.extraction_cost --annotation_file=vidstg/val_annotations.json \
        --windows_per_second=15
"""

from absl import flags

from gkcmn_tf import program
from gkcmn_tf.files import read_json
from gkcmn_tf.video.windows import count_windows

FLAGS = flags.FLAGS
BYTES = {"float16": 2, "bfloat16": 2, "int8": 1}
WINDOW = 7 * 7 * 1024


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_string("annotation_file", None, "SPLIT_annotations.json of VidSTG.", required=True)
    flags.DEFINE_float(
        "windows_per_second",
        None,
        "Extraction speed in windows per second, as shown by data.prepare.",
        required=True,
    )


def main(argv):
    """Counts the windows of each video once and prints the cost."""
    del argv
    frames = {r["vid"]: r["frame_count"] for r in read_json(FLAGS.annotation_file)}
    windows = sum(count_windows(count) for count in frames.values())
    print(f"{len(frames):,} videos, {sum(frames.values()):,} frames, {windows:,} windows")
    for dtype, size in BYTES.items():
        print(f"{dtype}: {windows * WINDOW * size / 1e9:.1f} GB")
    print(f"{windows / FLAGS.windows_per_second / 3600:.1f} hours")


if __name__ == "__main__":
    program.run(main, define_flags)
