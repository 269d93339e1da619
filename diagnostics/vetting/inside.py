"""The guarded end of a review: `python -m diagnostics.vetting.inside`, in a process of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from diagnostics import distribution
from diagnostics.probe_child import bound
from diagnostics.vetting.findings import Finding, Level
from diagnostics.vetting.guard import ORDER
from diagnostics.vetting.reporting import Part, Reporter


def main() -> None:
    """Does the review that lies in the working directory, and says so when it is complete."""
    # Gone before anything of a stranger's is imported: its token signs what is told.
    file = Path(ORDER)
    order = json.loads(file.read_text(encoding="utf-8"))
    file.unlink()
    bound(order["hard_s"], os.getppid())
    reporter = Reporter.instead_of_stdout(order["token"])
    REVIEWS[order["kind"]](reporter, order)
    reporter.tell(complete=True)


def _installation(reporter: Reporter, order: Mapping[str, Any]) -> None:
    from curriculum.envs.simulation import SIMULATIONS
    from diagnostics.vetting import environments

    def contract(name: str) -> Part:
        return f"simulation/{name}", lambda: environments.simulation(name)

    parts: list[Part] = [(distribution.NAME, _requirements), *map(contract, SIMULATIONS)]
    reporter.review(parts, order["skip"])


def _requirements() -> Iterator[Finding]:
    """Pinned requirements that are not met."""
    try:
        required = metadata.requires(distribution.NAME) or []
    except metadata.PackageNotFoundError:
        required = []
        yield Finding(
            "warning", distribution.NAME, "it is not installed as a package", distribution.install()
        )
    for line in required:
        yield _requirement(line)


def _requirement(line: str) -> Finding:
    name = line.split(";")[0].strip()
    package = name
    for mark in "[<>=!~ ":
        package = package.partition(mark)[0]
    try:
        version = metadata.version(package)
    except metadata.PackageNotFoundError:
        level: Level = "warning" if "extra ==" in line else "error"
        return Finding(level, package, "is not installed", distribution.install(name))
    return Finding("ok", package, f"{version} is installed")


def _configuration(reporter: Reporter, order: Mapping[str, Any]) -> None:
    from diagnostics.vetting import rundirs

    path = Path(order["path"])
    reporter.review([(str(path), lambda: rundirs.configuration(path))], order["skip"])


def _run_directory(reporter: Reporter, order: Mapping[str, Any]) -> None:
    from diagnostics.vetting import rundirs

    reporter.review(rundirs.parts(Path(order["path"]), order["fix"]), order["skip"])


def _plugin(reporter: Reporter, order: Mapping[str, Any]) -> None:
    """Imports a file, and tells which environments it registers and what it failed with."""
    from diagnostics.vetting import plugins

    reporter.need("its import")
    plugins.overlay(order["fixed"])
    registered, error = plugins.imported(Path(order["path"]))
    reporter.tell(registered=registered, error=error)


def _environment(reporter: Reporter, order: Mapping[str, Any]) -> None:
    """Imports a file again, and checks one environment that it registers."""
    from diagnostics.vetting import environments, plugins

    file, env_id = Path(order["path"]), order["env_id"]
    reporter.need(f"the import for {env_id}")
    plugins.load(file)
    reporter.need(f"the contract of {env_id}")
    for finding in environments.check(env_id, str(file)):
        reporter.find(finding)


def _lint(reporter: Reporter, order: Mapping[str, Any]) -> None:
    from diagnostics.vetting import linting

    reporter.need("its lint")
    path = Path(order["path"])
    reporter.tell(**(linting.mended(path) if order["fix"] else linting.complaints(path)))


REVIEWS: dict[
    Literal["installation", "configuration", "run", "plugin", "environment", "lint"],
    Callable[[Reporter, Mapping[str, Any]], None],
] = {
    "installation": _installation,
    "configuration": _configuration,
    "run": _run_directory,
    "plugin": _plugin,
    "environment": _environment,
    "lint": _lint,
}


if __name__ == "__main__":
    main()
