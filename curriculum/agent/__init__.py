"""Learned agents: `load_agent(path)` opens one, `agent.act(observation)` plays it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curriculum.agent.agent import Agent
    from curriculum.agent.loading import load_agent

__all__ = ["Agent", "load_agent"]


def __getattr__(name: str) -> Any:
    """Loads them when they are asked for: workers need neither runs nor bundles to start."""
    if name == "Agent":
        from curriculum.agent.agent import Agent

        return Agent
    if name == "load_agent":
        from curriculum.agent.loading import load_agent

        return load_agent
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
