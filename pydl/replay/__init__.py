"""Launches without Python: recording and replaying them, and their times."""

from pydl.replay.capture import Capture, capture
from pydl.replay.profile import Profile, profile

__all__ = ["Capture", "Profile", "capture", "profile"]
