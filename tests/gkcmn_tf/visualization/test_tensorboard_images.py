"""Panels for TensorBoard: positions of colours."""

import numpy as np
import pytest

from gkcmn_tf.visualization import drawing, tensorboard_images


def test_predicted_and_true_heatmaps_of_annotated_steps_are_stacked():
    predicted, true = np.zeros((2, 6, 4, 4))
    predicted[:, 1, 1] = 1
    true[2:5, 3, 3] = 1
    panel = tensorboard_images.heatmap_panel(predicted, true, num_steps=3)
    size = 4 * tensorboard_images.CELL_PIXELS + 2
    assert panel.dtype == np.uint8
    maps = panel[-2 * size :].reshape(2, size, 3, size, 3)
    cell = tensorboard_images.CELL_PIXELS
    centers = 1 + cell // 2 + cell * np.arange(4)
    heat = maps[:, centers][:, :, :, centers].astype(int)
    for column in range(3):
        assert np.argwhere(heat[0, :, column].sum(axis=-1)).tolist() == [[1, 1]]
        assert np.argwhere(heat[1, :, column].sum(axis=-1)).tolist() == [[3, 3]]


def test_heatmaps_without_truth_show_all_steps():
    panel = tensorboard_images.heatmap_panel(np.full((20, 4, 4), 2.0), np.zeros((20, 4, 4)))
    assert panel.shape[1] == 8 * (4 * tensorboard_images.CELL_PIXELS + 2)
    assert panel.max() == 255


def test_heatmaps_of_two_shapes_are_an_error():
    with pytest.raises(ValueError, match=r"got \(3, 4, 4\) and \(2, 4, 4\)"):
        tensorboard_images.heatmap_panel(np.zeros((3, 4, 4)), np.zeros((2, 4, 4)))


def test_the_tube_panel_shows_each_box_at_the_steps_of_its_segment():
    left = np.tile([0.1, 0.1, 0.4, 0.9], (8, 1))
    right = np.tile([0.6, 0.1, 0.9, 0.9], (8, 1))
    panel = tensorboard_images.tube_panel((np.array([1, 3]), left), (np.array([2, 4]), right), 4)
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
