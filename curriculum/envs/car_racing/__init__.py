"""CarRacing: the track without the instruments, drawn fast and only where somebody looks."""

from curriculum.envs.car_racing.racer import CarRacer, racers_of

__all__ = ["NAME", "TRACK_ROWS", "CarRacer", "racers_of"]

NAME = "CarRacing-v3"
TRACK_ROWS = 84
"""Rows of the 96 above the black bar of instruments."""
