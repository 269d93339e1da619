"""What the site has beside the pages in this folder: README cut at its headings, and every key."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from curriculum.reference.keys import reference

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = ("developing",)
"""Sections of README that are for those who have the code before them."""

_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|#)([^)]*)\)")
_COMMENT = re.compile(r"^<!--.*-->\n", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that are made, and the pictures that they show."""
    pictures: set[str] = set()
    for name, text in sections((ROOT / "README.md").read_text(encoding="utf-8")).items():
        if name not in LEFT_OUT:
            content = _for_the_site(text, pictures)
            files.append(File.generated(config, f"{name}.md", content=content))
    files.append(File.generated(config, "keys.md", content=reference()))
    notebook = json.loads((ROOT / "docs" / "tutorial.ipynb").read_text(encoding="utf-8"))
    files.append(File.generated(config, "tutorial.md", content=_as_page(notebook)))
    for picture in sorted(pictures):
        files.append(File.generated(config, picture, abs_src_path=str(ROOT / picture)))
    return files


def sections(readme: str) -> dict[str, str]:
    """Returns README's parts by the names of their pages; what comes first is `index`."""
    first, *others = re.split(r"^(?=## )", _COMMENT.sub("", readme), flags=re.MULTILINE)
    found = {"index": first}
    for part in others:
        title = part.partition("\n")[0].removeprefix("## ")
        found[re.sub(r"[^a-z]+", "-", title.lower()).strip("-")] = part.replace("## ", "# ", 1)
    return found


def _as_page(notebook: dict[str, Any]) -> str:
    """Returns a notebook's cells as Markdown, its code as code."""
    parts = []
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        parts.append(f"```python\n{text}\n```" if cell["cell_type"] == "code" else text)
    return "\n\n".join(parts) + "\n"


def _for_the_site(text: str, pictures: set[str]) -> str:
    """Keeps pictures; links to files of the code become their names."""

    def linked(match: re.Match[str]) -> str:
        is_picture, words, path = match.groups()
        if is_picture:
            pictures.add(path)
            return match[0]
        return f"{words} (`{path}`)"

    return _LINK.sub(linked, text)
