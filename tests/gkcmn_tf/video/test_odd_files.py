"""Files with unusual metadata and codecs, and files that are not videos."""

import os
import struct

import av
import numpy as np
import pytest

from gkcmn_tf.video import reading, sound, writing

FRAMES = np.random.default_rng(0).integers(0, 256, (10, 48, 64, 3)).astype(np.uint8)


def test_metadata_need_not_be_utf8(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "TITLE"
        stream = container.add_stream("mpeg4", 25)
        stream.width, stream.height = 64, 48
        for frame in FRAMES:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    content = path.read_bytes()
    assert content.count(b"TITLE") == 1
    path.write_bytes(content.replace(b"TITLE", b"T\xe9\xff\xfeE"))
    assert len(list(reading.decode_frames(str(path)))) == 10
    assert not sound.has_sound(str(path))


def test_an_unknown_codec_is_named_as_the_reason(tmp_path):
    path = tmp_path / "a.mp4"
    writing.write_video(str(path), FRAMES, 25)
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzz1"))
    with pytest.raises(reading.VideoError, match=r"a.mp4: cannot be decoded: unknown codec"):
        reading.probe(str(path))


def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "a.mp4")
    with pytest.raises(reading.VideoError, match=r"a.mp4: .*is not a regular file"):
        reading.probe(str(tmp_path / "a.mp4"))


def test_a_small_file_cannot_ask_for_gigabytes(tmp_path):
    path = tmp_path / "a.gif"
    header = b"GIF89a" + struct.pack("<HH", 16000, 16000) + bytes.fromhex("800000000000ffffff")
    picture = b"," + struct.pack("<4H", 0, 0, 1, 1) + bytes.fromhex("000202440100")
    path.write_bytes(header + picture + b";")
    with pytest.raises(reading.VideoError, match=r"a.gif: has frames of 16000x16000, expected at"):
        reading.probe(str(path))
