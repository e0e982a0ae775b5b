"""A trained model with its tokenizer and settings, as loaded from a preset or a run."""

import dataclasses
import typing
from typing import Any

if typing.TYPE_CHECKING:  # importing TensorFlow takes seconds; listing presets does not need it
    from gkcmn_tf.modeling.grounding_model import GroundingModel
    from gkcmn_tf.text.tokenization import Tokenizer

MAX_LENGTH = 10_000  # of steps or words; a clip of as many steps has 1 GB of features


@dataclasses.dataclass(frozen=True)
class TrainedModel:
    """A trained model with the tokenizer and settings that inference requires.

    Example:
        >>> from gkcmn_tf import BM
        >>> from gkcmn_tf.text.tokenization import Tokenizer
        >>> from gkcmn_tf.trained_model import TrainedModel
        >>> tokenizer = Tokenizer(["dog", "runs"], max_words=8)
        >>> model = BM(tokenizer.vocabulary_size)
        >>> TrainedModel(model, tokenizer, {"fps": None}, 200, {"name": "demo"}).max_steps
        200

    Attributes:
        model: built model with trained weights.
        tokenizer: tokenizer of the model.
        features: settings of the feature extraction of the training data.
        max_steps: `T`, maximum number of steps of a clip.
        about: `name`, `description`, `metrics`, `training` (statistics of the training data) and
            further fields of the model card.
    """

    model: "GroundingModel"
    tokenizer: "Tokenizer"
    features: dict[str, Any]
    max_steps: int
    about: dict[str, Any]
