"""What mkdocs lacks, as its hook (mkdocs.yml): pages that lie outside docs/, and links out of them."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
ROOT_PAGES = {f"{name}.md": f"{name.lower()}.md" for name in ("CHANGELOG", "CONTRIBUTING", "SECURITY")}
ROOT_PAGES["README.md"] = "index.md"
LINK = re.compile(r"\[(?P<text>[^\]]+)\]\((?P<target>(?!\w+:|#)[^)#]+)(?P<anchor>#[^)]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages of the root."""
    for path, page in ROOT_PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / path).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, files: Files, **_: Any) -> str:
    """Has links lead to where pages are in the site; one to a file that is not in it becomes its text."""
    sources = {page: path for path, page in ROOT_PAGES.items()}
    place = sources.get(page.file.src_uri, f"docs/{page.file.src_uri}")

    def led(found: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(place), found["target"]))
        target = ROOT_PAGES.get(path, path.removeprefix("docs/"))
        if files.get_file_from_path(target):
            relative = posixpath.relpath(target, posixpath.dirname(page.file.src_uri) or ".")
            return f"[{found['text']}]({relative}{found['anchor'] or ''})"
        return found["text"] if (ROOT / path).exists() else found[0]

    return LINK.sub(led, markdown)
