"""What an independent FFmpeg program makes of a file; no tests."""

import subprocess

import imageio_ffmpeg
import numpy as np


def run(*arguments):
    """Runs the program; returns its output."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)]
    return subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True).stdout


def frame_times(path):
    """Seconds from the start of the file to each frame of the first video stream."""
    # With the sound, which belongs to the file too.
    streams = ("-map", "0:v:0", "-map", "0:a?")
    timing = ("-fps_mode", "passthrough", "-enc_time_base:v", "1:90000")
    output = run("-i", path, *streams, *timing, "-f", "framecrc", "-")
    lines = [line.split(",") for line in output.decode().splitlines()]
    return [int(line[2]) / 90000 for line in lines if line[0] == "0"]


def frames(path, height, width):
    """The frames as a player shows them: uint8 RGB `[frames, height, width, 3]`."""
    picture = ("-fps_mode", "passthrough", "-pix_fmt", "rgb24", "-f", "rawvideo", "-")
    output = run("-i", path, "-map", "0:v:0", *picture)
    return np.frombuffer(output, np.uint8).reshape(-1, height, width, 3)
