r"""Measures feature extraction throughput: windows and seconds of video per second.

Example:
    python -m benchmarks.extraction --video=clip.mp4

Video decoding is included. The I3D weights are random, which does not affect the speed.
"""

import time

from absl import flags

from gkcmn_tf import program
from gkcmn_tf.features import extraction

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_string("video", None, "Video file with a few hundred frames.", required=True)
    flags.DEFINE_integer("batch_size", 4, "Number of windows per batch.", lower_bound=1)
    flags.DEFINE_integer(
        "runs", 3, "Number of runs per dtype; the fastest is reported.", lower_bound=1
    )


def main(argv):
    """Measures each compute dtype of I3D."""
    del argv
    for dtype in extraction.COMPUTE_DTYPES:
        extractor = extraction.FeatureExtractor.from_source(
            "random:0", compute_dtype=dtype, batch_size=FLAGS.batch_size
        )
        seconds = []
        for _ in range(FLAGS.runs):
            began = time.perf_counter()
            video = extractor.extract(FLAGS.video)
            seconds.append(time.perf_counter() - began)
        best = min(seconds)
        print(
            f"{dtype}: {len(video.features) / best:.1f} windows/s, "
            f"{video.frame_count / video.fps / best:.2f} s of video per second"
        )


if __name__ == "__main__":
    program.run(main, define_flags)
