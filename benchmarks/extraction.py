r"""Prints how fast features are made of a video file: windows and seconds of video per second.

Example:
    python -m benchmarks.extraction --video=clip.mp4

Decoding, I3D and all. The weights are random, which costs the same as trained ones.
"""

import time

from absl import flags

from gkcmn_tf import program
from gkcmn_tf.features import extraction

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the program's flags."""
    flags.DEFINE_string("video", None, "Video file, of a few hundred frames.", required=True)
    flags.DEFINE_integer("batch_size", 4, "Windows computed at a time.", lower_bound=1)
    flags.DEFINE_integer("runs", 3, "The fastest of so many runs counts.", lower_bound=1)


def main(argv):
    """Measures each dtype that I3D computes in."""
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
