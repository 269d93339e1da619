"""Learned agents: `load_agent(path)` opens one, `agent.act(observation)` plays it."""

from curriculum.agent.agent import Agent
from curriculum.agent.loading import load_agent

__all__ = ["Agent", "load_agent"]
