"""A page on this machine: a run as it goes on, and its agents to be played with."""
