"""Names of the grounding metrics, as in the literature.

`gkcmn_tf.evaluation.metrics` computes them on frames,
`gkcmn_tf.modeling.keras_metrics` on steps.
"""

# vIoU@R is the share of sentences with vIoU strictly greater than R.
VIOU_THRESHOLDS = (0.3, 0.5)
TABLE_METRICS = ("m_tIoU", "m_vIoU", *(f"vIoU@{threshold}" for threshold in VIOU_THRESHOLDS))
