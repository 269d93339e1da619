"""V and C learned together: while C learns, V goes on learning from what C's play shows."""

from curriculum.learning.joint.frames import FrameReplay
from curriculum.learning.joint.vision import JointVision

__all__ = ["FrameReplay", "JointVision"]
