"""Launches without Python: recording and replaying them, and their times."""

from pydl.replay.block import Block
from pydl.replay.capture import Capture
from pydl.replay.door import capture
from pydl.replay.export import ExportedPlan, export, load_plan
from pydl.replay.profile import Profile, profile

__all__ = ["Block", "Capture", "ExportedPlan", "Profile", "capture", "export", "load_plan", "profile"]
