"""Imported first: says what to install where scikit-learn is missing."""

from pydl.errors import require

__all__: list[str] = []

require("sklearn", "sklearn", "pydl.sklearn")
