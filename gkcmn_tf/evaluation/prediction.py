"""Tubes for every sentence of a split: a trained model's, and the true ones."""

from collections.abc import Iterable, Sequence

import numpy as np
import tensorflow as tf
import tqdm

from gkcmn_tf import tubes
from gkcmn_tf.modeling.grounding_model import GroundingModel
from gkcmn_tf.records.clip_records import Clip


def predict(
    model: GroundingModel,
    dataset: Iterable,
    clips: Sequence[Clip],
    *,
    temporal_ground_truth: bool = False,
) -> dict[str, tubes.Tube]:
    """Grounds every sentence of `clips`.

    Args:
        model: built.
        dataset: batches `(inputs, labels)` of the split that `clips` are.
        clips: of that split as `records.read_clips` gives them; `labels["index"]` counts their
            sentences.
        temporal_ground_truth: take the true segment, and only the model's boxes (Table 2).

    Returns:
        a tube for each sentence's id.
    """
    asked = [(clip, sentence) for clip in clips for sentence in clip.sentences]

    @tf.function
    def decode(inputs):
        return model.decode(inputs, model(inputs, training=False))

    predictions = {}
    with tqdm.tqdm(total=len(asked), desc="grounding", unit="sentence") as progress:
        for inputs, labels in dataset:
            decoded = {name: value.numpy() for name, value in decode(inputs).items()}
            num_steps = inputs["step_mask"].numpy().sum(axis=1)
            for row, query in np.argwhere(labels["query_mask"].numpy()):
                clip, sentence = asked[int(labels["index"][row, query])]
                tube = tubes.tube_from_steps(
                    decoded["segment"][row, query],
                    decoded["boxes"][row, query, : num_steps[row]],
                    begin=clip.begin,
                    end=clip.end,
                    width=clip.width,
                    height=clip.height,
                    score=float(decoded["score"][row, query]),
                    frames=(sentence.begin, sentence.end) if temporal_ground_truth else None,
                )
                predictions[sentence.id] = tube
                progress.update()
    return predictions


def true_tubes(clips: Iterable[Clip]) -> list[tubes.GroundTruth]:
    """The true tubes of all sentences of some clips, in their order."""
    return [
        tubes.GroundTruth(
            id=sentence.id,
            vid=clip.video_id,
            qtype=sentence.qtype,
            width=clip.width,
            height=clip.height,
            # Records hold float32: the shortest number that reads so is the one annotated.
            fps=float(str(np.float32(clip.fps))),
            frame_count=clip.frame_count,
            clip_begin=clip.begin,
            clip_end=clip.end,
            tube=tubes.Tube(sentence.begin, sentence.end, sentence.boxes),
        )
        for clip in clips
        for sentence in clip.sentences
    ]
