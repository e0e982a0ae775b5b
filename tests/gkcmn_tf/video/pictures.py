"""Frames for videos written by tests; no tests."""

import fractions
import struct

import av
import numpy as np

RED, GREEN, BLUE, WHITE = [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]


def quarters(height=48, width=64):
    """Returns a frame with one colour in each quarter: red and green above blue and white."""
    frame = np.zeros((height, width, 3), np.uint8)
    top, left = slice(height // 2), slice(width // 2)
    bottom, right = slice(height // 2, None), slice(width // 2, None)
    frame[top, left], frame[top, right] = RED, GREEN
    frame[bottom, left], frame[bottom, right] = BLUE, WHITE
    return frame


def noise(count, seed=0):
    """Returns frames that compress badly, so that damage to any part of the file is visible."""
    return np.random.default_rng(seed).integers(0, 256, (count, 48, 64, 3), np.uint8)


def write_timed(path, times, *, codec="libx264", rate=25, options=None, sound=None):
    """Grey frames at `times` in milliseconds; with `sound`, four seconds of silence from 0 on."""
    unit = fractions.Fraction(1, 1000)
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=rate, options=options or {})
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        video.codec_context.time_base = unit
        video.codec_context.thread_count = 1
        if sound:
            audio = container.add_stream(sound, rate=48000, layout="mono")
            resampler = av.AudioResampler(audio.codec_context.format, "mono", 48000, 960)
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 192000), np.int16), "s16", "mono")
            silence.sample_rate, silence.pts = 48000, 0
            for part in resampler.resample(silence):
                container.mux(audio.encode(part))
            container.mux(audio.encode())
        for number, time in enumerate(times):
            grey = np.full((64, 96, 3), number % 64 * 4, np.uint8)
            frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
            frame.pts, frame.time_base = int(time), unit
            container.mux(video.encode(frame))
        container.mux(video.encode())


def set_display_matrix(path, matrix):
    """Sets `a, b, c, d` in the header of the track: `x' = a x + c y`, `y' = b x + d y`."""
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 44
    a, b, c, d = (value << 16 for value in matrix)
    data[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
