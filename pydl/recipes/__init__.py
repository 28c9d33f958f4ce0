"""Runnable experiments; see pydl.recipes.recipe."""
