"""Keys that have moved or are gone: old files still load, and whoever wrote them is told."""

from __future__ import annotations

from collections.abc import Callable

from curriculum.config.yaml_strict import Node

_LOOP = (
    "num_envs",
    "num_steps",
    "total_steps",
    "final_rate",
    "reuse",
    "noise_persistence",
    "clip_rewards",
    "reward_scale",
    "end_on_life_loss",
    "end_on_reward",
    "reseed_steps",
    "averaging",
    "check_margin",
    "patience",
)
MOVED = {("ppo", key): ("training", key) for key in _LOOP}
"""Section and key as they were, and as they are."""

GONE = (
    "branches",
    "branch_steps",
    "branch_updates",
    "branch_after",
    "memory_updates",
    "recall_steps",
)
"""Keys that `ppo` had, of dreams begun in rollouts; `branches` was how many, and 0 is none."""

ADVANCE = {False: "always", True: "on_success"}
"""What `curriculum.stop_on_miss` is as `curriculum.advance`."""

Say = Callable[[str], None]


def up_to_date(root: Node, problems: list[str], notice: Say) -> Node:
    """Returns a tree whose moved keys stand where they belong now, without those that are gone.

    Args:
        root: of one source, at whose top and in whose `tasks` sections may stand.
        problems: a sentence is added for a key that is given at both places, or that asks for what
            is gone.
        notice: is told what to write instead, once for each key.
    """
    if not isinstance(root.value, dict):
        return root
    root = _with_advance(_renewed(root, "", problems, notice), problems, notice)
    tasks = root.value.get("tasks")
    if tasks is None or not isinstance(tasks.value, dict):
        return root
    moved = {
        name: _renewed(task, f"tasks.{name}.", problems, notice)
        for name, task in tasks.value.items()
    }
    return Node({**root.value, "tasks": Node(moved, tasks.place)}, root.place)


def _renewed(node: Node, prefix: str, problems: list[str], notice: Say) -> Node:
    return _without_gone(_with_moves(node, prefix, problems, notice), prefix, problems, notice)


def _without_gone(node: Node, prefix: str, problems: list[str], notice: Say) -> Node:
    given = _entries(_entries(node).get("ppo"))
    for key in (key for key in GONE if key in given):
        place, value = f"{given[key].place}: {prefix}ppo.{key}", given[key].plain()
        if key == GONE[0] and value != 0:
            problems.append(
                f"{place}: given {value!r}, expected that it is left out: dreams begun in rollouts "
                "are gone, because C learned worse with them (README); commit 51d6e8c was the last "
                "to have them"
            )
        else:
            notice(f"{place} is gone, with the dreams that began in rollouts: remove it")
    if given.keys().isdisjoint(GONE):
        return node
    left = {key: child for key, child in given.items() if key not in GONE}
    return Node({**node.value, "ppo": Node(left, node.value["ppo"].place)}, node.place)


def _with_moves(node: Node, prefix: str, problems: list[str], notice: Say) -> Node:
    for (section, key), (home, name) in MOVED.items():
        given = _entries(_entries(node).get(section)).get(key)
        if given is None:
            continue
        old, new = f"{prefix}{section}.{key}", f"{prefix}{home}.{name}"
        there = _entries(_entries(node).get(home)).get(name)
        if there is None:
            notice(f"{given.place}: {old} has moved: write {new}")
        else:
            problems.append(
                f"{given.place}: {old} is {new} now, which {there.place} gives; keep one"
            )
        node = _moved(node, (section, key), (home, name), given)
    return node


def _moved(node: Node, old: tuple[str, str], new: tuple[str, str], given: Node) -> Node:
    """Returns the node with an entry at its new place, unless something else is given there."""
    sections = dict(node.value)
    left = {key: child for key, child in _entries(sections[old[0]]).items() if key != old[1]}
    sections[old[0]] = Node(left, sections[old[0]].place)
    home = sections.get(new[0], Node(None, given.place))
    if home.value is None or isinstance(home.value, dict):
        sections[new[0]] = Node({new[1]: given, **_entries(home)}, home.place)
    return Node(sections, node.place)


def _with_advance(root: Node, problems: list[str], notice: Say) -> Node:
    """Returns the root with `curriculum.advance` in place of the switch that it once was."""
    section = _entries(root).get("curriculum")
    given = _entries(section).get("stop_on_miss")
    if section is None or given is None:
        return root
    left = {key: child for key, child in _entries(section).items() if key != "stop_on_miss"}
    place, value = f"{given.place}: curriculum.stop_on_miss", given.plain()
    if not isinstance(value, bool):
        problems.append(
            f"{place}: given {value!r}, expected true or false; better, write curriculum.advance"
        )
    elif "advance" in left:
        problems.append(
            f"{place} is curriculum.advance now, which {left['advance'].place} gives; keep one"
        )
    else:
        notice(f"{place} has moved: write curriculum.advance: {ADVANCE[value]}")
        left["advance"] = Node(ADVANCE[value], given.place)
    return Node({**root.value, "curriculum": Node(left, section.place)}, root.place)


def _entries(node: Node | None) -> dict[str, Node]:
    return node.value if node is not None and isinstance(node.value, dict) else {}
