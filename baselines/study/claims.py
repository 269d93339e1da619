"""A claim made before the result: what will be compared, written down with its hash and its time.

Whoever reads a comparison can then tell what was predicted from what was found by looking. The
hash is printed where it is made: published anywhere, it also shows that a plan and its ledger were
not written anew together.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from baselines.results import LEDGER, Algorithm, Setting
from curriculum.config.schema import Config
from curriculum.errors import ConfigError
from curriculum.records.facts import WrongFact, entry
from curriculum.records.files import read_json, refused, to_json, write_json
from curriculum.records.ledger import Ledger, read_events
from curriculum.tasks import load_config

Metric = Literal["steps-to-target", "minutes-to-target", "score"]
METRICS: tuple[Metric, ...] = ("steps-to-target", "minutes-to-target", "score")
PLAN = "plan.json"
_MADE = "claim_made"
_OF_A_MACHINE = ("device", "torch", "threads")
"""Settings of a training that a plan leaves open."""


@dataclass(frozen=True)
class Plan:
    """What is claimed, and by which runs it will be judged.

    Attributes:
        name: of the claim.
        tasks: it speaks of, each by itself.
        seeds: of our runs and of the baselines, all of which count.
        metric: what ours will be better by.
        times: ours will need more than so many times fewer steps, or minutes; 1 for scores.
        against, setting: which baseline.
        policy: that judges the baseline, `greedy` or `sampled`.
        episodes: that judge the baseline.
        steps: of its training that are asked for.
        evaluations: points of its learning curve.
        ours: YAML of our configuration, every key written out.
        theirs: settings of the baseline by task, but for those of the machine.
        rules: that the baseline plays by, by task.
        versions: of the packages here.
    """

    name: str
    tasks: tuple[str, ...]
    seeds: tuple[int, ...]
    metric: Metric
    times: float
    against: Algorithm
    setting: Setting
    policy: Literal["greedy", "sampled"]
    episodes: int
    steps: int
    evaluations: int
    ours: str
    theirs: dict[str, dict[str, Any]]
    rules: dict[str, dict[str, Any]]
    versions: dict[str, Any]

    @property
    def hash(self) -> str:
        """SHA-256 of all of it, 64 hexadecimal digits."""
        text = json.dumps(to_json(asdict(self)), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def config(self) -> Config:
        """Returns our configuration.

        Raises:
            ConfigError: this version does not understand it.
        """
        with TemporaryDirectory(prefix="claim-") as directory:
            path = Path(directory) / "config.yaml"
            path.write_text(self.ours, encoding="utf-8")
            return load_config(path)

    def sentence(self, rival: str) -> str:
        """Returns the claim in words.

        Args:
            rival: what the other side is called.
        """
        seeds = ", ".join(map(str, self.seeds))
        if self.metric == "score":
            return f"ours score more than {rival}, over the seeds {seeds}"
        what = "steps" if self.metric == "steps-to-target" else "minutes"
        fewer = f"fewer {what}" if self.times == 1.0 else f"{self.times:g} times fewer {what}"
        return f"ours come to the target in {fewer} than {rival}, over the seeds {seeds}"


@dataclass(frozen=True)
class Claim:
    """A claim as it was found on the disk.

    Attributes:
        plan: as it stands there now.
        made: when, in unix seconds.
        broken: why it is none; empty if it is one.
    """

    plan: Plan
    made: float
    broken: str = ""


def pinned(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings of a training that a plan fixes, as JSON holds them."""
    return {k: to_json(v) for k, v in settings.items() if k not in _OF_A_MACHINE}


def make_claim(directory: Path, plan: Plan) -> Claim:
    """Writes a claim down; one that was made with the same plan stays as it is.

    Args:
        directory: of the claim.
        plan: what is claimed.

    Raises:
        ConfigError: another claim is there.
        RunIOError: the disk refused.
    """
    ledger = directory / LEDGER
    if ledger.exists():
        claim = open_claim(directory)
        if claim.broken or claim.plan.hash != plan.hash:
            raise ConfigError(
                f"{directory} holds another claim already, and a claim is never changed: choose "
                f"another name or --out"
            )
        return claim
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise refused(e, "make the directory of the claim", directory) from e
    write_json(directory / PLAN, asdict(plan))
    Ledger(ledger).append(_MADE, name=plan.name, hash=plan.hash)
    return open_claim(directory)


def open_claim(directory: Path) -> Claim:
    """Reads a claim back, and whether its plan is still the one that was made.

    Raises:
        ConfigError: there is none, or this program did not write it.
        RunIOError: it cannot be read.
    """
    content = read_json(directory / PLAN)
    if content is None:
        raise ConfigError(
            f"{directory} holds no claim: make one with `python -m baselines claim NAME`"
        )
    try:
        plan = entry(Plan, content)
    except WrongFact as e:
        raise ConfigError(f"{directory / PLAN} is no plan of this program: {e}") from e
    path = directory / LEDGER
    made = [e for e in read_events(path) if e["event"] == _MADE] if path.exists() else []
    if len(made) != 1:
        count = "none" if not made else str(len(made))
        return Claim(plan, 0.0, f"its ledger tells of {count}, expected one claim")
    if made[0].get("hash") != plan.hash:
        return Claim(plan, float(made[0]["t"]), "its plan was changed after it was made")
    return Claim(plan, float(made[0]["t"]))
