"""Tools around parameters and their gradients."""

from pydl.nn.utils import parametrizations, parametrize, rnn, stateless
from pydl.nn.utils.adaptive_clip import adaptive_clip_grad_
from pydl.nn.utils.clip import clip_grad_norm_, clip_grad_value_, clip_grads_with_norm_, get_total_norm
from pydl.nn.utils.rnn import tbptt
from pydl.nn.utils.skip import no_init_weights, skip_init
from pydl.nn.utils.spectral_norm import remove_spectral_norm, spectral_norm
from pydl.nn.utils.stable import project_stable
from pydl.nn.utils.tie import tie, untie
from pydl.nn.utils.vector import parameters_to_vector, vector_to_parameters
from pydl.nn.utils.weight_norm import remove_weight_norm, weight_norm

__all__ = [
    "adaptive_clip_grad_",
    "clip_grad_norm_",
    "clip_grad_value_",
    "clip_grads_with_norm_",
    "get_total_norm",
    "no_init_weights",
    "parameters_to_vector",
    "parametrizations",
    "parametrize",
    "project_stable",
    "remove_spectral_norm",
    "remove_weight_norm",
    "rnn",
    "skip_init",
    "spectral_norm",
    "stateless",
    "tbptt",
    "tie",
    "untie",
    "vector_to_parameters",
    "weight_norm",
]
