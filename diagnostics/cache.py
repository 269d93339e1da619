"""Remembers what probes found, so that only a changed machine is probed again.

A result is kept under a key of everything that is cheap to read and could change it: interpreter,
import path, the location, size and date of each module that the component imports, installed
versions, and the environment variables that steer them. Nothing heavy is imported to compute it.
Neither the limit nor the directory in which a command is started belongs to it: what works, works
whoever asks. A time-out is never remembered, for it may be the machine's and not the component's.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.metadata
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Collection
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from diagnostics.components import COMPONENTS, Component
from diagnostics.cores import available_cores
from diagnostics.probe import run_probes
from diagnostics.probe_child import imported_names
from diagnostics.probing.result import OnChange, ProbeResult, ProbeState
from diagnostics.probing.usage import describe_load, load

SCHEMA = 1
SUCCESS_AGE_S = 7 * 24 * 3600.0
FAILURE_AGE_S = 600.0
STEERING = ("ALE_", "CUDA_", "DYLD_", "KMP_", "LD_", "MKL_", "OMP_", "PYTHON", "SDL_", "TORCH")
"""Beginnings of the environment variables that change how components behave."""

BY_NAME = {c.name: c for c in COMPONENTS}


class ProbeCache:
    """Probe results on disk; without a usable place it simply remembers nothing.

    Args:
        path: the JSON file, or None for no cache.
        clock: returns unix seconds.
        notice: told, in a sentence, when the file cannot be read or written.
    """

    def __init__(
        self,
        path: Path | None,
        clock: Callable[[], float] = time.time,
        notice: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._path = path
        self._clock = clock
        self._notice = notice
        self._entries = self._read()

    def get(self, key: str) -> ProbeResult | None:
        """Returns the result under a key, unless it is unknown, too old or from the future."""
        result = self._entries.get(key)
        return result[1] if result and self._fresh(*result) else None

    def put(self, key: str, result: ProbeResult) -> None:
        """Remembers a result from now on; `save` makes it durable."""
        self._entries[key] = (self._clock(), result)

    def save(self) -> None:
        """Writes what is still fresh, in one piece."""
        if self._path is None:
            return
        entries = {
            key: {"t": t, "result": result.to_json()}
            for key, (t, result) in self._entries.items()
            if self._fresh(t, result)
        }
        try:
            _replace_text(self._path, json.dumps({"schema": SCHEMA, "entries": entries}, indent=1))
        except OSError as error:
            self._notice(
                f"Probe results are not remembered: {self._path} cannot be written: {error}."
            )

    def _fresh(self, t: float, result: ProbeResult) -> bool:
        if result.state == ProbeState.TIMEOUT or not result.started:
            return False
        age = self._clock() - t
        return 0 <= age < (SUCCESS_AGE_S if result.usable else FAILURE_AGE_S)

    def _read(self) -> dict[str, tuple[float, ProbeResult]]:
        if self._path is None or not self._path.is_file():
            return {}
        try:
            data = json.loads(self._path.read_text(encoding="utf-8"))
            if data["schema"] != SCHEMA:
                return {}
            return {
                str(key): (float(entry["t"]), ProbeResult.from_json(entry["result"]))
                for key, entry in data["entries"].items()
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            self._notice(
                f"The probe cache {self._path} is damaged and was ignored "
                f"({type(error).__name__}: {error}); it will be written anew."
            )
            return {}


def default_path() -> Path | None:
    """Returns where probe results are remembered, or None where there is no home for them."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not Path(base).is_absolute():
        try:
            base = str(Path.home() / ".cache")
        except RuntimeError:
            return None  # nobody's home: a container without HOME and without a passwd entry
    return Path(base) / "curriculum" / "probes.json"


def probe_all(
    timeout_s: float = 15.0,
    fresh: bool = False,
    names: Collection[str] | None = None,
    *,
    cache: ProbeCache | None = None,
    on_change: OnChange | None = None,
    notice: Callable[[str], None] | None = None,
) -> dict[str, ProbeResult]:
    """Returns the state of components, probing only those that are not remembered.

    Args:
        timeout_s: seconds of its own that one probe may take; how long that is on a busy machine,
            and how long all together may take, says `run_probes`.
        fresh: ignore what is remembered (the new results are remembered all the same).
        names: which components; all if None. A requirement that is not named is not waited for.
        cache: where to remember; the user's cache directory if None.
        on_change: told of each probe's start (None) and end, remembered ones included.
        notice: told at once which components are probed, and later why it takes longer.

    Returns:
        Component name to result, in the order of `COMPONENTS`.

    Raises:
        ValueError: a name is not a component's.
    """
    wanted = _select(names)
    store = ProbeCache(default_path()) if cache is None else cache
    importlib.invalidate_caches()
    keys = {c.name: cache_key(c) for c in wanted if c.cacheable}
    known = {} if fresh else _remembered(wanted, keys, store)
    for name, result in known.items():
        if on_change is not None:
            on_change(name, result)
    pending = [c for c in wanted if c.name not in known]
    if notice is not None and pending:
        notice(f"probing {', '.join(c.name for c in pending)}{_busy_word()}")
    found = run_probes(pending, timeout_s, known=known, on_change=on_change, notice=notice)
    results = known | found
    learnt = [c for c in pending if c.cacheable and not _blocked(c, results)]
    for component in learnt:
        store.put(keys[component.name], results[component.name])
    if learnt:
        store.save()
    return {c.name: results[c.name] for c in wanted}


def _busy_word() -> str:
    """Says that the machine is busy, if it is, and what that changes."""
    if load() <= 2 * available_cores():
        return ""
    return f"; this machine is busy ({describe_load()}), so that what has to wait is given longer"


def cache_key(component: Component) -> str:
    """Returns the key of a component's result, which changes with what the probe would meet."""
    chain = _with_requirements(component)
    facts = {
        "component": [component.name, component.code],
        "interpreter": [sys.executable, sys.version],
        "path": [str(p) for p in _import_path() if p != Path.cwd()],
        "shadows": _shadows(),
        "site": [_stamp(Path(p)) for p in sys.path if p.endswith(("-packages", "-packages/"))],
        "environment": sorted(i for i in os.environ.items() if i[0].startswith(STEERING)),
        "modules": {m: _located(m) for c in chain for m in imported_names(c.code)},
        "packages": {p: _installed(p) for c in chain for p in c.packages},
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _import_path() -> list[Path]:
    """Returns where modules are looked for; what names no place, such as the hook that pip leaves
    for a package that is installed to be edited, is kept as it is wherever this is asked."""
    return [
        Path(p).resolve() if Path(p).exists() else Path(p) for p in (p or "." for p in sys.path)
    ]


def _shadows() -> list[Any]:
    """Stamps the files of the working directory that would be imported in place of others.

    `python -m` puts this directory first on the import path. A random.py in it breaks torch, which
    no component imports by name; without such files the directory makes no difference.
    """
    here, path = Path.cwd(), _import_path()
    if here not in path:
        return []
    elsewhere = [p for p in path if p != here]

    def hides(name: str) -> bool:
        there = (p / entry for p in elsewhere for entry in (name, f"{name}.py"))
        return name in sys.stdlib_module_names or any(p.exists() for p in there)

    return [_stamp(file) for name, file in sorted(_importable(here).items()) if hides(name)]


def _importable(folder: Path) -> dict[str, Path]:
    """Returns the modules and packages of a folder, by name, with their files."""
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return {}  # a zip file, or not there
    found = {p.name.partition(".")[0]: p for p in entries if p.suffix in (".py", ".so")}
    return found | {p.name: p / "__init__.py" for p in entries if (p / "__init__.py").is_file()}


def _select(names: Collection[str] | None) -> list[Component]:
    for name in names or ():
        if name not in BY_NAME:
            near = difflib.get_close_matches(name, BY_NAME, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"{name!r} is not a component;{hint} Expected one of: {', '.join(BY_NAME)}."
            )
    return [c for c in COMPONENTS if names is None or c.name in names]


def _remembered(
    wanted: list[Component], keys: dict[str, str], store: ProbeCache
) -> dict[str, ProbeResult]:
    """A result counts only while the requirements it rested on are remembered as usable too."""
    known: dict[str, ProbeResult] = {}
    named = {c.name for c in wanted}
    for component in wanted:
        result = store.get(keys[component.name]) if component.name in keys else None
        rests_on = [known.get(r) for r in component.requires if r in named]
        if result is not None and all(r is not None and r.usable for r in rests_on):
            known[component.name] = result
    return known


def _blocked(component: Component, results: dict[str, ProbeResult]) -> bool:
    return any(r in results and not results[r].usable for r in component.requires)


def _with_requirements(component: Component) -> list[Component]:
    chain = [component]
    for name in component.requires:
        chain += _with_requirements(BY_NAME[name])
    return chain


def _located(module: str) -> list[Any]:
    """Finds a module's file without importing it or its parents, with its size and date."""
    top, *rest = module.split(".")
    try:
        spec = _spec_in_a_fresh_interpreter(top)
    except (ImportError, ValueError) as error:
        return [f"{type(error).__name__}: {error}"]
    if spec is None:
        return []
    # Folders are named but not dated: Python's own byte code would seem to change them.
    folders = [Path(p) for p in spec.submodule_search_locations or ()]
    inner = [f.joinpath(*rest) for f in folders if rest]
    files = [Path(spec.origin)] if spec.origin else []
    files += [p for i in inner for p in (i.with_suffix(".py"), i / "__init__.py")]
    return [*map(str, folders), *map(_stamp, files)]


def _spec_in_a_fresh_interpreter(top: str) -> ModuleSpec | None:
    """Asks the finders themselves: `find_spec` would answer for what this process has loaded."""
    importlib.invalidate_caches()
    specs = (finder.find_spec(top, None) for finder in sys.meta_path)
    return next((spec for spec in specs if spec is not None), None)


def _stamp(path: Path) -> list[Any]:
    try:
        found = path.stat()
    except OSError:
        return [str(path)]  # not there is an answer too
    return [str(path), found.st_mtime_ns, found.st_size]


def _installed(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _replace_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fd, partial = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text)
        Path(partial).replace(path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise
