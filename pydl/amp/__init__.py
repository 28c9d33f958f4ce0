"""Mixed precision: products in 16 bits, weights and losses in float32, gradients scaled out of underflow's way."""

from pydl.amp.autocast import autocast, get_autocast_dtype, is_autocast_enabled
from pydl.amp.grad_scaler import GradScaler

__all__ = ["GradScaler", "autocast", "get_autocast_dtype", "is_autocast_enabled"]
