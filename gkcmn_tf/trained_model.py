"""A trained model with all that using it takes, whatever it was loaded from."""

import dataclasses
import typing
from typing import Any

if typing.TYPE_CHECKING:  # TensorFlow takes seconds to import, and listing presets needs none
    from gkcmn_tf.modeling.grounding_model import GroundingModel
    from gkcmn_tf.text.tokenization import Tokenizer


@dataclasses.dataclass(frozen=True)
class TrainedModel:
    """A trained model with all that using it takes.

    Attributes:
        model: built, with its weights.
        tokenizer: of the model's vocabulary.
        features: the settings of the features that the model was trained on.
        max_steps: `T`, steps that the model sees of a clip.
        about: `name`, `description`, `metrics`, `training` (statistics of the training data) and
            whatever else the model card says.
    """

    model: "GroundingModel"
    tokenizer: "Tokenizer"
    features: dict[str, Any]
    max_steps: int
    about: dict[str, Any]
