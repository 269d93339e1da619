"""Where `--json FILE` leads: one place that writes findings for machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curriculum.errors import RunIOError


def write_json(target: str, report: Mapping[str, Any]) -> None:
    """Writes a report as JSON.

    Args:
        target: a file, or `-` for stdout.
        report: JSON-compatible data.

    Raises:
        RunIOError: the file cannot be written, or is a device, a pipe or a directory.
    """
    text = json.dumps(report, indent=2) + "\n"
    if target == "-":
        sys.stdout.write(text)
        return
    # Only here, because it brings numpy, and most reports go nowhere.
    from curriculum.records.files import output_path

    path = output_path(Path(target))
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RunIOError(
            f"The report could not be written to {target}: {error.strerror}. "
            "Name a file in a directory that exists and can be written."
        ) from error
