"""Predicted and true tubes of the sentences of a split."""

import collections
from collections.abc import Iterable, Sequence

import numpy as np
import tensorflow as tf
import tqdm

from gkcmn_tf import tubes
from gkcmn_tf.modeling.grounding_model import GroundingModel
from gkcmn_tf.records.clip_records import Clip, Pair


def predict(
    model: GroundingModel,
    dataset: Iterable,
    clips: Sequence[Clip],
    *,
    temporal_ground_truth: bool = False,
) -> dict[str, tubes.Tube]:
    """Predicts a tube for each sentence of `clips`.

    Args:
        model: built model.
        dataset: batches `(inputs, labels)` of the split.
        clips: clips of the same split, in the order of `clip_records.read_clips`, which
            `labels["index"]` refers to.
        temporal_ground_truth: whether to use the true segments and predict boxes only (Table 2);
            absent sentences have none and must not be in `clips`.

    Returns:
        tubes by sentence id.
    """
    queries = [(clip, sentence) for clip in clips for sentence in clip.sentences]

    @tf.function
    def decode(inputs):
        return model.decode(inputs, model(inputs, training=False))

    predictions = {}
    with tqdm.tqdm(total=len(queries), desc="grounding", unit="sentence") as progress:
        for inputs, labels in dataset:
            decoded = {name: value.numpy() for name, value in decode(inputs).items()}
            num_steps = inputs["step_mask"].numpy().sum(axis=1)
            for row, query in np.argwhere(labels["query_mask"].numpy()):
                clip, sentence = queries[int(labels["index"][row, query])]
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


def true_tubes(clips: Iterable[Clip], pairs: Iterable[Pair] = ()) -> list[tubes.GroundTruth]:
    """True tubes of all sentences of `clips`, in order.

    Args:
        clips: the clips.
        pairs: minimal pairs of their sentences.
    """
    paired_with = collections.defaultdict(dict)
    for pair in pairs:
        paired_with[pair.first][pair.second] = pair.kind
    return [
        tubes.GroundTruth(
            id=sentence.id,
            vid=clip.video_id,
            qtype=sentence.qtype,
            width=clip.width,
            height=clip.height,
            # Undo the float32 rounding of records: use the shortest decimal representation.
            fps=float(str(np.float32(clip.fps))),
            frame_count=clip.frame_count,
            clip_begin=clip.begin,
            clip_end=clip.end,
            tube=None
            if sentence.is_absent
            else tubes.Tube(sentence.begin, sentence.end, sentence.boxes),
            paired_with=paired_with.get(sentence.id, {}),
        )
        for clip in clips
        for sentence in clip.sentences
    ]
