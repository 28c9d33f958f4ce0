"""Experiments of learning theory."""
