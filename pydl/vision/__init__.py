"""What convolutional networks see, keep and cost."""

from pydl.vision.cost import LayerCost, broken_rules, flops, layer_costs, suggest_filters
from pydl.vision.equivariance import equivariance_error, invariance_error, quarter_turns, translations
from pydl.vision.receptive_field import ReceptiveField, receptive_field

__all__ = [
    "LayerCost",
    "ReceptiveField",
    "broken_rules",
    "equivariance_error",
    "flops",
    "invariance_error",
    "layer_costs",
    "quarter_turns",
    "receptive_field",
    "suggest_filters",
    "translations",
]
