"""The models, by their names in configs and on the command line."""

from gkcmn_tf.modeling.bm import BM
from gkcmn_tf.modeling.gkcmn import GKCMN
from gkcmn_tf.modeling.grounding_model import GroundingModel

MODELS: dict[str, type[GroundingModel]] = {"gkcmn": GKCMN, "bm": BM}
