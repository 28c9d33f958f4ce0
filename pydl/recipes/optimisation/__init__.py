"""Recipes of one part of the course."""
