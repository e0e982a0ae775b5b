"""Pictures: where the colours are, how many frames and stills there are."""

import numpy as np
import pytest
from PIL import Image

from gkcmn_tf import tubes
from gkcmn_tf.video import reading, writing
from gkcmn_tf.visualization import drawing, overlays, panels

GREY = 128


def tube(begin, end, box):
    return tubes.Tube(begin, end, np.tile(np.array(box, float), (end - begin, 1)))


PREDICTED = tube(6, 14, (40, 80, 100, 140))
TRUE = tube(4, 10, (120, 80, 180, 140))


@pytest.fixture
def grey_video(tmp_path):
    """20 grey frames of 240 x 180."""
    path = str(tmp_path / "grey.mp4")
    writing.write_video(path, [np.full((180, 240, 3), GREY, np.uint8)] * 20, 10)
    return path


def shows(picture, color):
    """Whether a picture has a pixel of about that colour, which codecs change in thin lines."""
    return bool((np.abs(picture.astype(int) - color).max(axis=-1) < 60).any())


def test_the_overlay_draws_boxes_in_their_frames_only(grey_video, tmp_path):
    path = str(tmp_path / "pictures" / "overlay.mp4")
    overlays.write_overlay(
        grey_video, path, PREDICTED, query="a box", num_frames=20, true_tube=TRUE
    )
    stream = reading.decode_frames(path, size=None)
    frames = list(stream)
    assert (len(frames), frames[0].shape, stream.info.fps) == (20, (180, 240, 3), 10)
    predicted = [shows(frame[76:144, 36:104], drawing.PREDICTED) for frame in frames]
    true = [shows(frame[76:144, 116:184], drawing.TRUE) for frame in frames]
    assert predicted == [6 <= number < 14 for number in range(20)]
    assert true == [4 <= number < 10 for number in range(20)]


def test_the_overlay_without_truth_has_one_lane_and_one_box(grey_video, tmp_path):
    path = str(tmp_path / "overlay.mp4")
    overlays.write_overlay(grey_video, path, PREDICTED, query="a box", num_frames=20)
    frames = list(reading.decode_frames(path, size=None))
    assert not any(shows(frame, drawing.TRUE) for frame in frames)
    # The bar shows the segment in every frame: 6/20 to 14/20 of 240 pixels.
    bar = frames[0][-3].astype(int)
    colored = np.flatnonzero(np.abs(bar - drawing.PREDICTED).max(axis=-1) < 60)
    np.testing.assert_allclose([colored[0], colored[-1]], [72, 167], atol=3)


def test_a_true_tube_alone_is_drawn_as_such(grey_video, tmp_path):
    drawn = {"query": "a box", "num_frames": 20, "true_tube": TRUE}
    overlays.write_overlay(grey_video, str(tmp_path / "overlay.mp4"), None, **drawn)
    frames = list(reading.decode_frames(str(tmp_path / "overlay.mp4"), size=None))
    true = [shows(frame[76:144, 116:184], drawing.TRUE) for frame in frames]
    assert true == [4 <= number < 10 for number in range(20)]
    overlays.write_strip(grey_video, str(tmp_path / "strip.png"), None, **drawn)
    # Frames 3 to 10, a still each.
    strip = np.asarray(Image.open(tmp_path / "strip.png"))[-2 * 244 :]
    stills = strip.reshape(2, 244, 4, 324, 3).swapaxes(1, 2).reshape(8, 244, 324, 3)
    assert [shows(s, drawing.TRUE) for s in stills] == [4 <= f < 10 for f in range(3, 11)]
    assert not any(shows(picture, drawing.PREDICTED) for picture in (strip, *frames))


def test_no_tube_at_all_is_an_error(grey_video, tmp_path):
    with pytest.raises(ValueError, match="expected a predicted tube, a true tube, or both"):
        overlays.write_overlay(
            grey_video, str(tmp_path / "overlay.mp4"), None, query="a box", num_frames=20
        )


def test_the_query_is_written_at_the_top(grey_video, tmp_path):
    path = str(tmp_path / "overlay.mp4")
    overlays.write_overlay(grey_video, path, PREDICTED, query="a box " * 12, num_frames=20)
    frame = next(iter(reading.decode_frames(path, size=None)))
    assert shows(frame[:40], drawing.TEXT)
    assert np.abs(frame[70:150].astype(int) - GREY).max() < 12


def test_an_overlay_of_a_tube_that_outlasts_the_video(grey_video, tmp_path):
    path = str(tmp_path / "overlay.mp4")
    overlays.write_overlay(
        grey_video, path, tube(15, 30, (0, 0, 240, 180)), query="a box", num_frames=20
    )
    assert len(list(reading.decode_frames(path, size=None))) == 20


def test_the_strip_has_stills_around_the_tubes(grey_video, tmp_path):
    path = str(tmp_path / "pictures" / "strip.png")
    overlays.write_strip(grey_video, path, PREDICTED, query="a box", num_frames=20, true_tube=TRUE)
    # Frames 3 to 14 in eight stills: 3, 5, 6, 8, 9, 11, 12, 14; four in a row.
    strip = np.asarray(Image.open(path))
    assert strip.shape[1] == 4 * (320 + 4)
    stills = strip[-2 * 244 :].reshape(2, 244, 4, 324, 3).swapaxes(1, 2).reshape(8, 244, 324, 3)
    frames = [3, 5, 6, 8, 9, 11, 12, 14]
    assert [shows(s, drawing.PREDICTED) for s in stills] == [6 <= f < 14 for f in frames]
    assert [shows(s, drawing.TRUE) for s in stills] == [4 <= f < 10 for f in frames]


def test_a_strip_of_fewer_frames_has_fewer_stills(grey_video, tmp_path):
    path = str(tmp_path / "strip.png")
    overlays.write_strip(grey_video, path, tube(0, 1, (0, 0, 9, 9)), query="a box", num_frames=20)
    assert Image.open(path).width == 2 * (320 + 4)


@pytest.mark.parametrize(
    ("begin", "num_frames", "message"),
    [
        (50, 20, "a tube begins behind the video's 20 frames"),
        (18, 30, "has 20 frames, expected 30"),
    ],
)
def test_a_strip_of_frames_that_are_not_there_is_an_error(
    grey_video, tmp_path, begin, num_frames, message
):
    path = tmp_path / "strip.png"
    late = tube(begin, begin + 5, (0, 0, 9, 9))
    with pytest.raises(ValueError, match=message):
        overlays.write_strip(grey_video, str(path), late, query="a box", num_frames=num_frames)
    assert not path.exists()


def test_heatmaps_of_annotated_steps_stand_below_each_other():
    predicted, true = np.zeros((2, 6, 4, 4))
    predicted[:, 1, 1] = 1
    true[2:5, 3, 3] = 1
    panel = panels.heatmap_panel(predicted, true, num_steps=3)
    size = 4 * panels.CELL_PIXELS + 2
    assert panel.dtype == np.uint8
    maps = panel[-2 * size :].reshape(2, size, 3, size, 3)
    cell = panels.CELL_PIXELS
    centers = 1 + cell // 2 + cell * np.arange(4)
    heat = maps[:, centers][:, :, :, centers].astype(int)
    for column in range(3):
        assert np.argwhere(heat[0, :, column].sum(axis=-1)).tolist() == [[1, 1]]
        assert np.argwhere(heat[1, :, column].sum(axis=-1)).tolist() == [[3, 3]]


def test_heatmaps_without_truth_show_all_steps():
    panel = panels.heatmap_panel(np.full((20, 4, 4), 2.0), np.zeros((20, 4, 4)))
    assert panel.shape[1] == 8 * (4 * panels.CELL_PIXELS + 2)
    assert panel.max() == 255


def test_heatmaps_of_two_shapes_are_an_error():
    with pytest.raises(ValueError, match=r"got \(3, 4, 4\) and \(2, 4, 4\)"):
        panels.heatmap_panel(np.zeros((3, 4, 4)), np.zeros((2, 4, 4)))


def test_the_tube_panel_shows_each_box_at_the_steps_of_its_segment():
    left = np.tile([0.1, 0.1, 0.4, 0.9], (8, 1))
    right = np.tile([0.6, 0.1, 0.9, 0.9], (8, 1))
    panel = panels.tube_panel((np.array([1, 3]), left), (np.array([2, 4]), right), 4)
    assert panel.shape == (98 + 16, 4 * 98, 3)
    canvases = panel[:98].reshape(98, 4, 98, 3).swapaxes(0, 1)
    predicted = [(canvas == drawing.PREDICTED).all(-1).any() for canvas in canvases]
    true = [(canvas == drawing.TRUE).all(-1).any() for canvas in canvases]
    assert predicted == [False, True, True, False]
    assert true == [False, False, True, True]
    for row, color, first in (
        (98 + 3, drawing.PREDICTED, 1),
        (98 + 11, drawing.TRUE, 2),
    ):
        colored = np.flatnonzero((panel[row] == color).all(-1))
        assert (colored[0], colored[-1]) == (first * 98, (first + 2) * 98 - 1)
