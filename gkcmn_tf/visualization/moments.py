"""Writes the frames of a tube as a video of their own."""

import numpy as np
from PIL import Image

from gkcmn_tf.tubes import Tube
from gkcmn_tf.video import reading, sound, writing
from gkcmn_tf.video.packet_index import IndexMismatchError
from gkcmn_tf.visualization.drawing import PREDICTED, DrawnTube, draw_boxes
from gkcmn_tf.visualization.output_names import output_name
from gkcmn_tf.visualization.overlays import check_output_paths


def moment_name(video_path: str, tube: Tube, *, boxes: bool = False) -> str:
    """File name of a tube's video, unique for the video, the sentence and the frames.

    Args:
        video_path: path of the video.
        tube: the tube.
        boxes: whether its boxes are drawn.
    """
    drawn = "-boxes" if boxes else ""
    return f"{output_name(video_path, tube.sentence)}-{tube.begin}-{tube.end}{drawn}.mp4"


def write_moment(path: str, video_path: str, tube: Tube, *, boxes: bool = False) -> None:
    """Writes the frames of a tube as an MP4 (H.264), with their times and the sound.

    The first frame is shown at time 0. Only the frames from the key frame before the tube are
    decoded, where the file allows it.

    Args:
        path: path of the MP4.
        video_path: path of the video.
        tube: the tube, in frames of the video.
        boxes: whether to draw its boxes.

    Raises:
        FileNotFoundError: the video does not exist.
        reading.VideoError: no frame can be decoded.
        ValueError: the video has fewer frames, or `path` is the video itself or a folder.
    """
    check_output_paths(video_path, path)
    try:
        _write(path, video_path, tube, boxes, decode=False)
    except IndexMismatchError:
        _write(path, video_path, tube, boxes, decode=True)


def _write(path, video_path, tube, boxes, *, decode):
    stream = reading.decode_frames(video_path, size=None)
    timeline = stream.read_timeline(decode=decode)
    if timeline.frame_count < tube.end:
        raise ValueError(
            f"{video_path}: has {timeline.frame_count} frames, expected at least {tube.end}; has "
            "it changed since it was searched?"
        )
    wanted = range(tube.begin, tube.end)
    start = stream.time_of(tube.begin)
    end = stream.time_of(tube.end - 1) + stream.duration_of(tube.end - 1)
    drawn = [DrawnTube("predicted", tube, PREDICTED)] if boxes else []

    def frames():
        for number, frame in zip(wanted, stream.frames_at(wanted), strict=True):
            image = Image.fromarray(frame)
            draw_boxes(image, drawn, number)
            yield writing.TimedFrame(
                np.asarray(image), stream.time_of(number) - start, stream.duration_of(number)
            )

    source = None
    if sound.has_sound(video_path):
        source = sound.SoundSource(video_path, stream.start + start, duration=end - start)
    writing.write_timed_video(
        path,
        frames(),
        float(len(wanted) / (end - start)) if end > start else stream.info.fps,
        time_base=stream.time_base,
        pixel_aspect=stream.pixel_aspect,
        sound_source=source,
    )
