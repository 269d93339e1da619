"""The floors of the house: which module may import which; the one place that knows it.

Tests hold every import against it, and `python -m diagnostics map` draws it. It holds literals
only, so that the floors of another checkout can be read without running its code.
"""

from __future__ import annotations

PACKAGES = ("baselines", "curriculum", "diagnostics", "models")

LAYERS: dict[str, tuple[str, ...]] = {
    "words": (
        "curriculum",
        "curriculum.errors",
        "curriculum.lists",
        "curriculum.config.*",
        "curriculum.envs.interface",
        "diagnostics.components",
        "diagnostics.cores",
        "diagnostics.distribution",
        "diagnostics.probe*",
        "diagnostics.probing.*",
        "models.interfaces",
        "models.settings.*",
        "models.shapes",
    ),
    "records": (
        "curriculum.mode",
        "curriculum.place",
        "curriculum.seeds",
        "curriculum.tasks",
        "curriculum.pretrained.*",
        "curriculum.progress",
        "curriculum.resources",
        "curriculum.statistics.*",
        "curriculum.stops",
        "curriculum.watch",
        "curriculum.watch.present",
        "curriculum.records.*",
        "curriculum.datasets.*",
        "curriculum.envs.action_table",
        "curriculum.envs.batch",
        "curriculum.envs.contract",
        "curriculum.envs.stacking",
        "curriculum.envs.aliases",
        "diagnostics.cache",
    ),
    "numpy": (
        "models.controller_cpu",
        "models.search",
        "models.selftest.*",
        "models.search.evolution",
        "models.pca",
        "models.echo",
        "models.normaliser",
        "models.numeric.*",
        "curriculum.envs.simulation.*",
        "curriculum.pool.*",
    ),
    "heavy": (
        "models.vae",
        "models.mdnrnn",
        "models.controller",
        "models.ppo",
        "models.search.cma_es",
        "models.exported.*",
        "models.networks.*",
        "models.neural.*",
        "models.off_policy.*",
        "curriculum.envs.*",
    ),
    "backends": ("curriculum.backends.*", "curriculum.dreams"),
    "world": ("curriculum.world.*",),
    "agent": ("curriculum.agent.*",),
    "collecting": ("curriculum.collecting.*",),
    "learning": (
        "curriculum.films.*",
        "curriculum.insight.*",
        "curriculum.learning.*",
        "curriculum.minari.*",
        "curriculum.onnx.*",
        "curriculum.theatre.*",
    ),
    "stages": ("curriculum.stages.*",),
    "runs": (
        "curriculum.runs.*",
        "curriculum.show.*",
        "curriculum.sinks.*",
        "curriculum.figures.*",
        "curriculum.reference.*",
        "baselines.ablate",
        "baselines.lines",
        "baselines.random_agent",
        "baselines.results",
        "baselines.sb3.*",
        "baselines.throughput",
        "diagnostics.*",
    ),
    "series": (
        "curriculum.demo.*",
        "curriculum.series.*",
        "baselines.matrix.*",
        "baselines.study.*",
    ),
    "doors": ("curriculum.cli.*", "curriculum.door.*", "curriculum.watch.*", "baselines.*"),
}
"""From the ground up; the first floor with a matching pattern owns a module."""

HEAVY = frozenset(
    {"torch", "gymnasium", "ale_py", "stable_baselines3", "cma", "pygame", "Box2D", "cv2"}
)
"""What is loaded only where a part that needs it is built."""

MAY_BE_HEAVY = (
    *LAYERS["heavy"],
    "curriculum.backends.full",
    "curriculum.agent.dream_env",
    "curriculum.dreams",
    "curriculum.minari.*",
    "curriculum.onnx.*",
    "curriculum.watch.single",
    "baselines.sb3.*",
    "baselines.throughput",
    "diagnostics.bench.off_policy",
    "diagnostics.bench.rivals",
)
"""Modules that may load it as they are imported."""
