"""Recipes of recurrent and temporal networks."""
