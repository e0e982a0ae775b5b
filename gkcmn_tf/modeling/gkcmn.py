"""GKCMN, the Gaussian kernel-based cross-modal network (Fig. 2 of the paper)."""

import keras
from keras import ops

from gkcmn_tf.modeling import decoding, losses, targets
from gkcmn_tf.modeling.candidates import (
    CANDIDATE_WIDTHS,
    candidate_segments,
    candidate_widths,
)
from gkcmn_tf.modeling.grounding_model import GroundingModel
from gkcmn_tf.modeling.layers.mixed_convolution import MixedConvolution
from gkcmn_tf.modeling.layers.spatial_head import SpatialHead
from gkcmn_tf.modeling.layers.temporal_head import TemporalHead


@keras.saving.register_keras_serializable("gkcmn")
class GKCMN(GroundingModel):
    """The GKCMN network; see `GroundingModel` for inputs and labels.

    Outputs, float32: `heatmaps` (logits) `[B, Q, T, L, L]`; `sizes`, distances (left, top, right,
    bottom) in heatmap cells, `[B, Q, T, L, L, 4]`; `scores` (logits) `[B, Q, T, K]`; `offsets`
    (begin, end) in steps `[B, Q, T, K, 2]`.

    Example:
        >>> import numpy as np
        >>> from gkcmn_tf import GKCMN
        >>> model = GKCMN(vocabulary_size=50, heatmap_size=8)
        >>> inputs = {
        ...     "features": np.zeros([1, 10, 7, 7, 64], "float32"),
        ...     "step_mask": np.ones([1, 10], bool),
        ...     "tokens": np.full([1, 2, 6], 3),
        ... }
        >>> tube = model.decode(inputs, model(inputs))
        >>> {name: tuple(value.shape) for name, value in tube.items()}
        {'segment': (1, 2, 2), 'score': (1, 2), 'boxes': (1, 2, 10, 4)}

    Args:
        vocabulary_size: number of tokens, as in `GroundingModel`.
        heatmap_size: `L`, height and width of the heatmaps.
        spatial_width: channels of each branch of the spatial head.
        temporal_width: channels of the temporal head.
        candidate_widths: widths of the candidate segments in steps, for clips of 200 steps; they
            are scaled to the clip length `T`.
        serial_connection: whether to use the serial connection; False is ablation w/o SC.
        parallel_connection: whether to use the parallel connection; False is ablation w/o PC. If
            both are False, ablation w/o MN.
        parallel_spatial: whether the parallel connection includes the 2D branch of Eq. 3; Eq. 4
            uses its 3D branch only.
        temporal_attention: whether the temporal head uses self-attention; False is ablation w/o TA.
        attention_pooling: whether the temporal head pools over space with attention instead of the
            average.
        gaussian_kernel: whether heatmap targets are Gaussian; False is ablation w/o SK.
        sigma: standard deviation of the Gaussian kernel, in heatmap cells (Eq. 5).
        relative_sigma: minimum standard deviation along x (y), as a fraction of the box width
            (height).
        focal_alpha, focal_beta: exponents of Eq. 6.
        positive_heat: `gamma` of Eq. 6.
        empty_steps: whether the heatmap loss includes unannotated steps, with all-zero targets.
        score_loss: loss of the scores: `smooth_l1` (Eq. 8), or `cross_entropy`, which also corrects
            confident wrong scores.
        score_threshold: `c` of Eq. 8.
        high_score_ratio: `delta`; offsets are trained for candidates with an IoU of at least
            `delta` times the highest IoU.
        offset_unit: unit of predicted offsets: `step`, or `width` for the width of the candidate.
        box_smoothing: standard deviation, in steps, of the Gaussian window that smooths decoded
            boxes over time; 0 turns it off.
        **kwargs: further arguments of `GroundingModel`.
    """

    loss_names = ("heatmap_loss", "size_loss", "score_loss", "boundary_loss")

    def __init__(
        self,
        vocabulary_size,
        *,
        heatmap_size=16,
        spatial_width=64,
        temporal_width=64,
        candidate_widths=CANDIDATE_WIDTHS,
        serial_connection=True,
        parallel_connection=True,
        parallel_spatial=False,
        temporal_attention=True,
        attention_pooling=False,
        gaussian_kernel=True,
        sigma=2.0,
        relative_sigma=0.0,
        focal_alpha=2.0,
        focal_beta=4.0,
        positive_heat=0.8,
        empty_steps=False,
        score_loss="smooth_l1",
        score_threshold=0.3,
        high_score_ratio=0.9,
        offset_unit="step",
        box_smoothing=0.0,
        **kwargs,
    ):
        super().__init__(vocabulary_size, **kwargs)
        self.heatmap_size = heatmap_size
        self.spatial_width = spatial_width
        self.temporal_width = temporal_width
        self.candidate_widths = tuple(candidate_widths)
        self.serial_connection = serial_connection
        self.parallel_connection = parallel_connection
        self.parallel_spatial = parallel_spatial
        self.temporal_attention = temporal_attention
        self.attention_pooling = attention_pooling
        self.gaussian_kernel = gaussian_kernel
        self.sigma = sigma
        self.relative_sigma = relative_sigma
        self.focal_alpha = focal_alpha
        self.focal_beta = focal_beta
        self.positive_heat = positive_heat
        self.empty_steps = empty_steps
        self.score_loss = score_loss
        self.score_threshold = score_threshold
        self.high_score_ratio = high_score_ratio
        self.offset_unit = offset_unit
        self.box_smoothing = box_smoothing
        self.mixed_convolution = MixedConvolution(
            serial=serial_connection,
            parallel=parallel_connection,
            parallel_spatial=parallel_spatial,
            dtype=self.dtype_policy,
            name="mixed_convolution",
        )
        self.spatial_head = SpatialHead(
            heatmap_size, width=spatial_width, dtype=self.dtype_policy, name="spatial_head"
        )
        self.temporal_head = TemporalHead(
            len(self.candidate_widths),
            width=temporal_width,
            attention_heads=self.attention_heads,
            self_attention=temporal_attention,
            attention_pooling=attention_pooling,
            dtype=self.dtype_policy,
            name="temporal_head",
        )

    def build_head(self, fused_shape):
        """Creates the weights of the mixed network and both heads."""
        for layer in (self.mixed_convolution, self.spatial_head, self.temporal_head):
            layer.build(fused_shape)

    def head(self, fused, step_mask):
        """Applies the mixed network and both heads to `F2`."""
        mixed = self.mixed_convolution(fused, step_mask)
        heatmaps, sizes = self.spatial_head(mixed, step_mask)
        scores, offsets = self.temporal_head(mixed, step_mask)
        if self.offset_unit == "width":
            offsets = offsets * ops.expand_dims(self._widths(step_mask), -1)
        return {"heatmaps": heatmaps, "sizes": sizes, "scores": scores, "offsets": offsets}

    def true_heatmaps(self, boxes):
        """Target heatmaps `[..., L, L]` of boxes `[..., 4]`."""
        if self.gaussian_kernel:
            return targets.gaussian_heatmaps(
                boxes, self.heatmap_size, self.sigma, self.relative_sigma
            )
        return targets.point_heatmaps(boxes, self.heatmap_size)

    def _widths(self, step_mask):
        """Widths of the candidates in steps, `[K]`."""
        widths = candidate_widths(self.candidate_widths, step_mask.shape[-1])
        return ops.convert_to_tensor(widths, "float32")

    def candidates(self, step_mask):
        """Candidate segments `[..., T, K, 2]` of clips with `step_mask` `[..., T]`."""
        return candidate_segments(step_mask, self._widths(step_mask))

    def _candidates_and_ious(self, inputs, labels):
        candidates = ops.expand_dims(self.candidates(inputs["step_mask"]), 1)
        return candidates, targets.segment_iou(candidates, labels["segment"][:, :, None, None, :])

    def loss_samples(self, inputs, labels):
        """Masks of the annotated steps, pixels in boxes, valid candidates, regressed candidates."""
        query_mask = labels["query_mask"]
        annotated = labels["box_mask"] & query_mask[..., None]
        areas = targets.inside_box(labels["boxes"], self.heatmap_size)
        valid = ops.expand_dims(inputs["step_mask"], 1) & query_mask[..., None]
        _, ious = self._candidates_and_ious(inputs, labels)
        return {
            "heatmap_loss": valid if self.empty_steps else annotated,
            "size_loss": areas & annotated[..., None, None],
            "score_loss": ops.broadcast_to(ops.expand_dims(valid, -1), ops.shape(ious)),
            "boundary_loss": targets.regression_candidates(ious, valid, self.high_score_ratio),
        }

    def loss_totals(self, inputs, labels, outputs, samples):
        """Sums of the four loss terms (Eq. 6 to 9)."""
        candidates, ious = self._candidates_and_ious(inputs, labels)
        annotated = ops.cast(labels["box_mask"], "float32")[..., None, None]
        return {
            "heatmap_loss": losses.heatmap_loss(
                outputs["heatmaps"],
                annotated * self.true_heatmaps(labels["boxes"]),
                samples["heatmap_loss"],
                alpha=self.focal_alpha,
                beta=self.focal_beta,
                gamma=self.positive_heat,
            ),
            "size_loss": losses.size_loss(outputs["sizes"], labels["boxes"], samples["size_loss"]),
            "score_loss": losses.score_loss(
                outputs["scores"],
                ious,
                samples["score_loss"],
                threshold=self.score_threshold,
                cross_entropy=self.score_loss == "cross_entropy",
            ),
            "boundary_loss": losses.boundary_loss(
                outputs["offsets"],
                candidates,
                labels["segment"],
                samples["boundary_loss"],
                unit=self._widths(inputs["step_mask"]) if self.offset_unit == "width" else 1.0,
            ),
        }

    def decode(self, inputs, outputs):
        """Decodes the tube with the highest score of each query."""
        segment, score = decoding.decode_segments(*self._candidate_scores(inputs, outputs))
        boxes, heats = decoding.decode_boxes(outputs["heatmaps"], outputs["sizes"])
        if self.box_smoothing:
            step_mask = ops.expand_dims(inputs["step_mask"], 1)
            boxes = decoding.smooth_boxes(boxes, ops.sigmoid(heats), step_mask, self.box_smoothing)
        return {"segment": segment, "score": score, "boxes": boxes}

    def segments(self, inputs, outputs):
        """Returns all candidates with their offsets added, and their scores."""
        return decoding.scored_segments(*self._candidate_scores(inputs, outputs))

    def _candidate_scores(self, inputs, outputs):
        """Arguments of `decoding.decode_segments`."""
        return (
            ops.sigmoid(outputs["scores"]),
            outputs["offsets"],
            ops.expand_dims(self.candidates(inputs["step_mask"]), 1),
            ops.expand_dims(inputs["step_mask"], 1),
        )

    def get_config(self):
        """Constructor arguments."""
        return super().get_config() | {
            "heatmap_size": self.heatmap_size,
            "spatial_width": self.spatial_width,
            "temporal_width": self.temporal_width,
            "candidate_widths": self.candidate_widths,
            "serial_connection": self.serial_connection,
            "parallel_connection": self.parallel_connection,
            "parallel_spatial": self.parallel_spatial,
            "temporal_attention": self.temporal_attention,
            "attention_pooling": self.attention_pooling,
            "gaussian_kernel": self.gaussian_kernel,
            "sigma": self.sigma,
            "relative_sigma": self.relative_sigma,
            "focal_alpha": self.focal_alpha,
            "focal_beta": self.focal_beta,
            "positive_heat": self.positive_heat,
            "empty_steps": self.empty_steps,
            "score_loss": self.score_loss,
            "score_threshold": self.score_threshold,
            "high_score_ratio": self.high_score_ratio,
            "offset_unit": self.offset_unit,
            "box_smoothing": self.box_smoothing,
        }
