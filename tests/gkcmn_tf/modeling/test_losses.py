import math
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from gkcmn_tf.modeling import losses, targets
from gkcmn_tf.modeling.candidates import candidate_segments

FOCAL = {"alpha": 2.0, "beta": 4.0, "gamma": 0.8}


def naive_focal(logits, heatmaps, mask):
    total = 0.0
    for t in range(len(mask)):
        for y, x in np.ndindex(logits.shape[1:]):
            p, h = 1 / (1 + math.exp(-logits[t, y, x])), heatmaps[t, y, x]
            if not mask[t]:
                continue
            if h > 0.8:
                total -= (1 - p) ** 2 * math.log(p)
            else:
                total -= (1 - h) ** 4 * p**2 * math.log(1 - p)
    return total


def test_heatmap_loss_equals_equation_6():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3, 4, 4)).astype("float32")
    heatmaps = rng.random((3, 4, 4)).astype("float32")
    mask = np.array([True, False, True])
    total = losses.heatmap_loss(logits, heatmaps, mask, **FOCAL)
    assert float(total) == pytest.approx(naive_focal(logits, heatmaps, mask), rel=1e-5)


def test_heatmap_loss_by_hand():
    logits = np.zeros((1, 1, 2), "float32")  # p = 1/2 at both pixels
    heatmaps = np.array([[[1.0, 0.5]]], "float32")
    positive = 0.25 * math.log(2)
    negative = 0.5**4 * 0.25 * math.log(2)
    total = losses.heatmap_loss(logits, heatmaps, np.array([True]), **FOCAL)
    assert float(total) == pytest.approx(positive + negative, rel=1e-6)


def test_size_loss_by_hand():
    # One pixel in the box predicts a box of twice the width, on both sides: IoU = 1/2.
    boxes = np.array([[0.25, 0.25, 0.5, 0.5]], "float32")  # cell [1, 2) x [1, 2) of 4 x 4
    distances = np.full((1, 4, 4, 4), 0.5, "float32")
    distances[..., 0] = distances[..., 2] = 1.0
    samples = targets.inside_box(boxes, 4)
    assert int(np.sum(samples)) == 1
    total = losses.size_loss(distances, boxes, samples)
    assert float(total) == pytest.approx(0.5, abs=1e-6)


def test_size_loss_is_zero_for_the_true_distances():
    box = np.array([0.1, 0.2, 0.7, 0.9], "float32") * 8
    centers = np.arange(8) + 0.5
    x, y = np.meshgrid(centers, centers)
    distances = np.stack([x - box[0], y - box[1], box[2] - x, box[3] - y], -1)[None]
    inside = ((x >= box[0]) & (x <= box[2]) & (y >= box[1]) & (y <= box[3]))[None]
    np.testing.assert_array_equal(inside, targets.inside_box(box[None] / 8, 8))
    total = losses.size_loss(distances.astype("float32"), box[None] / 8, inside)
    assert float(total) == pytest.approx(0, abs=1e-4)


def test_smooth_l1():
    x = np.array([0, 0.5, -0.5, 1, -3], "float32")
    np.testing.assert_allclose(losses.smooth_l1(x), [0, 0.125, 0.125, 0.5, 2.5])
    huber = tf.keras.losses.Huber(reduction="none")(x[:, None], np.zeros((5, 1)))
    np.testing.assert_allclose(losses.smooth_l1(x), huber, atol=1e-7)


def test_score_loss_by_hand():
    logits = np.zeros((2, 2), "float32")  # all scores are 1/2
    ious = np.array([[0.9, 0.2], [1.0, 1.0]], "float32")
    samples = np.array([[True, True], [False, False]])
    total = losses.score_loss(logits, ious, samples, threshold=0.3)
    assert float(total) == pytest.approx((0.4**2 + 0.5**2) / 2, rel=1e-6)


def test_scores_by_cross_entropy_are_those_of_keras():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(5, 2), scale=3).astype("float32")
    ious = rng.uniform(size=(5, 2)).astype("float32")
    samples = np.array([[True, False]] * 3 + [[True, True]] * 2)
    found = losses.score_loss(logits, ious, samples, threshold=0.3, cross_entropy=True)
    true_scores = np.where(ious < 0.3, 0, ious)
    each = tf.keras.losses.binary_crossentropy(
        true_scores[..., None], logits[..., None], from_logits=True
    )
    assert float(found) == pytest.approx(np.asarray(each)[samples].sum(), rel=1e-5)


def test_boundary_loss_by_hand():
    candidates = np.array([[[2.0, 6.0]], [[0.0, 10.0]]], "float32")
    segment = np.array([3.0, 5.5], "float32")  # true offsets (1, -0.5) and (3, -4.5)
    offsets = np.zeros((2, 1, 2), "float32")
    regressed = np.array([[True], [False]])
    total = losses.boundary_loss(offsets, candidates, segment, regressed)
    assert float(total) == pytest.approx(0.5 + 0.125)
    # In widths, those of the first candidate are (0.25, -0.125).
    total = losses.boundary_loss(offsets, candidates, segment, regressed, unit=np.array([4.0]))
    assert float(total) == pytest.approx((0.25**2 + 0.125**2) / 2)


def random_inputs(steps=3, size=4, widths=2):
    rng = np.random.default_rng(0)
    normal = lambda *shape: tf.constant(rng.normal(size=shape), tf.float64)  # noqa: E731
    boxes = tf.constant(
        [[0.1, 0.1, 0.6, 0.7], [0.3, 0.2, 0.9, 0.4], [0.5, 0.5, 0.5, 0.5]], tf.float64
    )
    mask = tf.constant([True, True, False])
    candidates = tf.cast(candidate_segments(tf.ones([steps], tf.bool), [1.0, 2.5]), tf.float64)
    segment = tf.constant([0.4, 2.2], tf.float64)
    ious = targets.segment_iou(candidates, segment)
    areas = targets.inside_box(tf.cast(boxes, tf.float32), size) & mask[:, None, None]
    heatmaps = tf.cast(targets.gaussian_heatmaps(tf.cast(boxes, tf.float32), size, 1.0), tf.float64)
    return {
        "heatmap": (
            normal(steps, size, size),
            lambda x: losses.heatmap_loss(x, heatmaps, mask, **FOCAL),
        ),
        "size": (
            tf.exp(normal(steps, size, size, 4)),
            lambda x: losses.size_loss(tf.cast(x, tf.float32), tf.cast(boxes, tf.float32), areas),
        ),
        "score": (
            normal(steps, widths),
            lambda x: losses.score_loss(x, ious, mask[:, None], threshold=0.3),
        ),
        "score, cross-entropy": (
            normal(steps, widths),
            lambda x: losses.score_loss(x, ious, mask[:, None], threshold=0.3, cross_entropy=True),
        ),
        "boundary": (
            normal(steps, widths, 2),
            lambda x: losses.boundary_loss(
                x, candidates, segment, targets.regression_candidates(ious, mask, 0.5)
            ),
        ),
        "boundary in widths": (
            normal(steps, widths, 2),
            lambda x: losses.boundary_loss(
                x,
                candidates,
                segment,
                targets.regression_candidates(ious, mask, 0.5),
                unit=tf.constant([1.0, 2.5], tf.float64),
            ),
        ),
    }


@pytest.mark.parametrize("name", random_inputs())
def test_gradients_equal_finite_differences(name):
    x, loss = random_inputs()[name]
    # Pixel centres are float32, and therefore also the size loss.
    delta, tolerance = (1e-2, 1e-2) if name == "size" else (1e-5, 1e-4)
    theory, numeric = tf.test.compute_gradient(loss, [x], delta=delta)
    assert np.abs(theory[0]).max() > 0
    np.testing.assert_allclose(theory[0], numeric[0], atol=tolerance)


EXTREMES = [-1e4, -50.0, 0.0, 50.0, 1e4]


@pytest.mark.parametrize("logit", EXTREMES)
@pytest.mark.parametrize("annotated", [True, False])
def test_losses_are_finite_at_saturated_logits_and_degenerate_boxes(logit, annotated):
    logits = tf.fill([1, 4, 4], logit)
    distances = tf.fill([1, 4, 4, 4], abs(logit))
    scores = tf.fill([1, 2], logit)
    offsets = tf.fill([1, 2, 2], logit)
    mask = tf.constant([annotated])
    box = tf.constant([[0.5, 0.5, 0.5, 0.5]])
    valid = tf.constant([True])
    candidates = candidate_segments(valid, [1.0, 2.0])
    segment = tf.constant([0.0, 1.0])
    ious = targets.segment_iou(candidates, segment)
    heatmaps = targets.gaussian_heatmaps(box, 4, 2.0)
    inputs = [logits, distances, scores, offsets]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        terms = [
            losses.heatmap_loss(logits, heatmaps, mask, **FOCAL),
            losses.size_loss(distances, box, targets.inside_box(box, 4) & mask[:, None, None]),
            losses.score_loss(scores, ious, valid[:, None], threshold=0.3),
            losses.boundary_loss(
                offsets, candidates, segment, targets.regression_candidates(ious, valid, 0.9)
            ),
        ]
        total = tf.add_n(terms)
    assert np.isfinite(total)
    for gradient in tape.gradient(total, inputs):
        assert np.isfinite(gradient).all()


ORACLE = """
import os, sys
os.environ["TF_USE_LEGACY_KERAS"] = "1"
import tf_keras.src.engine, tf_keras.src.engine.keras_tensor
sys.modules["keras.src.engine"] = tf_keras.src.engine
sys.modules["keras.src.engine.keras_tensor"] = tf_keras.src.engine.keras_tensor
import numpy as np
import tensorflow_addons as tfa

data = np.load(sys.argv[1])
# tensorflow-addons has boxes as [y1, x1, y2, x2]; GIoU does not mind, as long as both do.
giou = tfa.losses.giou_loss(data["a"], data["b"])
focal = tfa.losses.SigmoidFocalCrossEntropy(
    alpha=None, gamma=2.0, from_logits=True, reduction="none"
)(data["labels"][..., None], data["logits"][..., None])
np.savez(sys.argv[2], giou=giou, focal=focal)
"""


@pytest.mark.slow
@pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="tensorflow-addons has no wheel for this Python"
)
def test_losses_equal_those_of_tensorflow_addons(tmp_path):
    """Uses the archived tensorflow-addons as an independent oracle in a separate process."""
    rng = np.random.default_rng(0)
    corners = np.sort(rng.random((2, 1000, 2, 2)), axis=-2).reshape(2, 1000, 4).astype("float32")
    logits = rng.normal(scale=4, size=(10, 6, 6)).astype("float32")
    labels = (rng.random((10, 6, 6)) > 0.8).astype("float32")
    np.savez(tmp_path / "in.npz", a=corners[0], b=corners[1], logits=logits, labels=labels)
    done = subprocess.run(
        [sys.executable, "-c", ORACLE, tmp_path / "in.npz", tmp_path / "out.npz"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    oracle = np.load(tmp_path / "out.npz")

    from gkcmn_tf.modeling import boxes

    giou = 1 - np.asarray(boxes.giou(corners[0], corners[1]))
    np.testing.assert_allclose(giou, oracle["giou"], atol=1e-5)
    # With only heats of 0 and 1, Eq. 6 is the plain focal loss without class weights.
    total = losses.heatmap_loss(logits, labels, np.ones(10, bool), **FOCAL)
    assert float(total) == pytest.approx(oracle["focal"].sum(), rel=1e-5)
