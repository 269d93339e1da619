"""A batch of environments in supervised worker processes: workers die, the episodes do not.

An episode is a function of its seed and its actions, so the parent keeps both for every episode
in progress. A worker that dies, hangs or raises is replaced, its episodes are played again up to
where they were, and the rollout goes on as if nothing had happened, to the last bit.

Frames cross in shared memory that has no name, so nothing is left behind whoever is killed.
"""

from curriculum.envs.workers.core import Workers

__all__ = ["Workers"]
