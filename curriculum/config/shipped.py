"""Configurations that come with the package, by their names: `default`, `quick`, `simulation` …"""

from __future__ import annotations

import difflib
from importlib import resources
from pathlib import Path

from curriculum.errors import ConfigError

_INSIDE, _IN_A_CLONE = "configurations", "configs"
_SUFFIX = ".yaml"


def directory() -> Path:
    """Returns where they are: inside an installed package, or beside it in a clone."""
    inside = Path(str(resources.files("curriculum"))) / _INSIDE
    return inside if inside.is_dir() else inside.parents[1] / _IN_A_CLONE


def shipped() -> dict[str, Path]:
    """Returns the files by their names, sorted."""
    return {path.stem: path for path in sorted(directory().glob(f"*{_SUFFIX}"))}


def find(name: Path) -> Path:
    """Returns the file that was named: a file of the user's, or one that comes with the package.

    `default`, and a path such as `configs/default.yaml` outside a clone, mean what is shipped;
    a file that is there is always taken for itself.

    Raises:
        ConfigError: it is a bare name, of nothing.
    """
    if name.exists() and not name.is_dir():
        return name
    known = shipped()
    if name == Path(name.name) and not name.suffix:
        if str(name) in known:
            return known[str(name)]
        close = difflib.get_close_matches(str(name), known, n=1)
        meant = f"; did you mean {close[0]}?" if close else ""
        raise ConfigError(
            f"there is no file {name}, and no configuration of that name comes with the package: "
            f"there are {', '.join(known)}{meant}"
        )
    if name.parent == Path(_IN_A_CLONE) and name.suffix == _SUFFIX:
        return known.get(name.stem, name)
    return name


def text(name: str) -> str:
    """Returns the content of a shipped configuration, to be edited.

    Raises:
        ConfigError: there is none of that name.
    """
    known = shipped()
    if name not in known:
        raise ConfigError(f"there is no configuration {name!r}: there are {', '.join(known)}")
    return known[name].read_text(encoding="utf-8")
