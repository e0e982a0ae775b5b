"""The candidate segments of the temporal head (section 2.4)."""

from keras import ops

from gkcmn_tf.modeling.targets import pixel_centers

# Widths in steps, for a clip of 200 steps.
CANDIDATE_WIDTHS = (8.0, 16.0, 32.0, 64.0, 96.0, 128.0, 196.0)


def candidate_widths(widths, max_steps, reference_steps=200):
    """Scales widths given for `reference_steps` steps (200 in the paper) to `max_steps`."""
    return [width * max_steps / reference_steps for width in widths]


def candidate_segments(step_mask, widths):
    """Candidate segments of the temporal head: one of each width, centred on each step.

    Candidates are clipped to the clip, so that a clip shorter than the smallest width has
    candidates too.

    Args:
        step_mask: bool `[..., T]`, True at the `T'` valid steps, which come first.
        widths: `K` widths in steps, a list or a tensor.

    Returns:
        segments `[..., T, K, 2]` in step coordinates, inside `[0, T']`. Candidates at
        padded steps are undefined.
    """
    T = step_mask.shape[-1]
    half = ops.convert_to_tensor(widths, "float32") / 2
    centers = ops.expand_dims(pixel_centers(T), -1)
    segments = ops.stack([centers - half, centers + half], axis=-1)
    num_steps = ops.sum(ops.cast(step_mask, "float32"), axis=-1)[..., None, None, None]
    return ops.minimum(ops.maximum(segments, 0), num_steps)
