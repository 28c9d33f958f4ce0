"""The public names of torch.nn that are ours to have, with torch's arguments, defaults and order."""

import inspect
from typing import Any

import pytest

import pydl.nn
import pydl.nn.functional as F
from pydl.errors import ArgumentError

torch = pytest.importorskip("torch")

# Arguments that only pydl has; all are keywords.
OURS = {"activation", "mode", "generator"}
# What PyTorch keeps for old code: gone, not wanted, or private.
DEPRECATED = {"out"}
NAMES = [
    "AdaptiveLogSoftmaxWithLoss", "BCELoss", "BCEWithLogitsLoss", "Bilinear", "CELU", "ChannelShuffle", "ConstantPad1d",
    "ConstantPad2d", "ConstantPad3d", "CosineEmbeddingLoss", "CosineSimilarity", "CrossEntropyLoss", "Dropout",
    "Dropout1d", "Dropout2d", "Dropout3d", "ELU", "Embedding", "EmbeddingBag", "FeatureAlphaDropout", "Flatten", "GELU",
    "GLU", "GaussianNLLLoss", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "HingeEmbeddingLoss", "HuberLoss",
    "Identity", "KLDivLoss", "L1Loss", "LazyLinear", "LeakyReLU", "Linear", "LinearCrossEntropyLoss",
    "LinearCrossEntropyOptions", "LogSoftmax", "MSELoss",
    "MarginRankingLoss", "Mish", "MultiLabelMarginLoss", "MultiLabelSoftMarginLoss", "MultiMarginLoss", "NLLLoss",
    "PReLU", "PairwiseDistance", "Parameter", "PixelShuffle", "PixelUnshuffle", "PoissonNLLLoss", "RReLU", "ReLU",
    "ReLU6", "SELU", "SiLU", "SmoothL1Loss", "SoftMarginLoss", "Softmax", "Softmin", "Softplus", "Softshrink",
    "Threshold", "TripletMarginLoss", "TripletMarginWithDistanceLoss", "Unflatten", "ZeroPad1d", "ZeroPad2d",
    "ZeroPad3d", "AlphaDropout", "UninitializedParameter", "MultiheadAttention", "TransformerEncoderLayer",
    "TransformerDecoderLayer", "TransformerEncoder", "TransformerDecoder", "Transformer",
    "RNNBase", "RNNCell", "LSTMCell", "GRUCell",
]  # fmt: skip
FUNCTIONS = [
    "alpha_dropout", "binary_cross_entropy", "binary_cross_entropy_with_logits", "celu", "cosine_embedding_loss",
    "cross_entropy", "dropout", "dropout1d", "dropout2d", "dropout3d", "elu", "embedding", "embedding_bag",
    "feature_alpha_dropout", "gaussian_nll_loss", "glu", "gumbel_softmax", "hardsigmoid", "hardswish", "hardtanh",
    "hinge_embedding_loss", "huber_loss", "kl_div", "l1_loss", "leaky_relu", "linear_cross_entropy",
    "log_softmax", "margin_ranking_loss",
    "mish", "mse_loss", "multi_margin_loss", "multilabel_margin_loss", "multilabel_soft_margin_loss", "nll_loss",
    "normalize", "poisson_nll_loss", "relu", "relu6", "rrelu", "selu", "silu", "smooth_l1_loss", "soft_margin_loss",
    "softmax", "softmin", "threshold", "triplet_margin_loss", "triplet_margin_with_distance_loss",
]  # fmt: skip
PRESENT = [
    "bilinear", "channel_shuffle", "cosine_similarity", "gelu", "hardshrink", "linear", "logsigmoid", "one_hot", "pad",
    "pairwise_distance", "pdist", "pixel_shuffle", "pixel_unshuffle", "prelu", "sigmoid", "softplus", "softshrink",
    "softsign", "tanh", "tanhshrink", "relu_", "elu_", "selu_", "celu_", "leaky_relu_", "hardtanh_", "threshold_",
    "rrelu_",
]  # fmt: skip
CONTAINERS = ["Sequential", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict"]
METHODS = [
    "add_module", "apply", "bfloat16", "buffers", "children", "cpu", "cuda", "double", "eval", "extra_repr", "float",
    "forward", "get_buffer", "get_extra_state", "get_parameter", "get_submodule", "half", "load_state_dict", "modules",
    "named_buffers", "named_children", "named_modules", "named_parameters", "parameters", "register_buffer",
    "register_forward_hook", "register_forward_pre_hook", "register_full_backward_hook",
    "register_full_backward_pre_hook", "register_load_state_dict_post_hook", "register_load_state_dict_pre_hook",
    "register_module", "register_parameter", "register_state_dict_post_hook", "register_state_dict_pre_hook",
    "requires_grad_", "set_extra_state", "set_submodule", "state_dict", "to", "to_empty", "train", "type", "zero_grad",
]  # fmt: skip
LEGACY = [n for n in FUNCTIONS if "size_average" in inspect.signature(getattr(torch.nn.functional, n)).parameters]


def arguments(function: Any) -> list[tuple[str, Any]]:
    """Names and defaults, in order, without what only one library has."""
    listed = inspect.signature(function).parameters.values()
    plain = [p for p in listed if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    return [
        (p.name, plain_value(p.default))
        for p in plain
        if p.name not in DEPRECATED and not (p.name in OURS and p.kind is p.KEYWORD_ONLY)
    ]


def plain_value(default: Any) -> Any:
    """A default as it compares across libraries: numbers as floats, functions by name."""
    if inspect.isfunction(default):
        return default.__name__
    return float(default) if isinstance(default, int) and not isinstance(default, bool) else default


@pytest.mark.parametrize("name", NAMES)
def test_layers(name: str) -> None:
    theirs = getattr(torch.nn, name)
    if name == "Parameter":
        assert arguments(pydl.nn.Parameter) == [("data", None), ("requires_grad", True)]
        return
    assert arguments(getattr(pydl.nn, name)) == arguments(theirs)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str) -> None:
    assert arguments(getattr(F, name)) == arguments(getattr(torch.nn.functional, name))


@pytest.mark.parametrize("name", PRESENT)
def test_functions_without_a_signature(name: str) -> None:
    assert callable(getattr(F, name)) and callable(getattr(torch.nn.functional, name))


def test_methods_of_modules() -> None:
    for name in METHODS:
        assert hasattr(torch.nn.Module, name) and hasattr(pydl.nn.Module, name), name
    for name in CONTAINERS:
        theirs = {n for n in vars(getattr(torch.nn, name)) if not n.startswith("_") or n.startswith("__")}
        missing = {n for n in theirs if not hasattr(getattr(pydl.nn, name), n)}
        assert missing <= {"__jit_unused_properties__", "__call__", "__setstate__"}, (name, missing)


def test_initialisers() -> None:
    for name in [n for n in torch.nn.init.__all__ if n.endswith("_") or n == "calculate_gain"]:
        assert hasattr(pydl.nn.init, name), name
        if name.endswith("_"):
            assert arguments(getattr(pydl.nn.init, name)) == arguments(getattr(torch.nn.init, name)), name


@pytest.mark.parametrize("name", LEGACY)
@pytest.mark.parametrize("argument", ["size_average", "reduce"])
def test_old_arguments_are_refused(name: str, argument: str) -> None:
    function = getattr(F, name)
    count = sum(p.default is p.empty for p in inspect.signature(function).parameters.values())
    with pytest.raises(ArgumentError, match="size_average and reduce are no longer taken"):
        function(*[pydl.ones(2, 2)] * count, **{argument: True})
