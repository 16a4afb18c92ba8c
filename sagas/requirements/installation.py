"""Whether ``import sagas`` finds the package that is installed, and whether something else has its name.

The distribution is called ``django-sagas``, because ``sagas`` on PyPI is someone else's. Both have a folder ``sagas``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib.machinery import PathFinder
from importlib.metadata import Distribution, distributions
from pathlib import Path

from sagas.requirements.lack import Lack

DISTRIBUTION = "django-sagas"
#: Somebody else's distribution, whose files lie in the same folder.
OTHER = "sagas"
#: The folder in which the imported package lies.
HERE = Path(__file__).resolve().parents[2]


def other_versions() -> Iterator[Lack]:
    """Yield each installed version of the package that is not the imported one."""
    # Not imported: it imports everything, and nothing here may depend on that.
    imported = sys.modules["sagas"].__version__
    for found in distributions(name=DISTRIBUTION):
        if found.version != imported and not _is_editable(found):
            yield Lack(
                f"Two versions of {DISTRIBUTION}: {imported} is imported from {HERE}, and {found.version} is "
                f"installed in {_folder(found)}.",
                f"Remove one: pip uninstall {DISTRIBUTION}, until it finds none; delete copies; then install it again.",
            )


def strangers() -> Iterator[Lack]:
    """Yield the distribution ``sagas``, if its files lie among those of this package."""
    for found in distributions(name=OTHER):
        if _folder(found) == HERE:
            yield Lack(
                f"The distribution {OTHER} {found.version} is someone else's, and is installed into the folder of the "
                f"engine, {HERE / 'sagas'}.",
                f"pip uninstall {OTHER}; pip install --force-reinstall --no-deps {DISTRIBUTION}.",
            )
            return


def hidden() -> Iterator[Lack]:
    """Yield each other package or module ``sagas`` on the path, which cannot be imported because of this one."""
    known = {HERE, *(_folder(found) for found in distributions(name=DISTRIBUTION))}
    for entry in dict.fromkeys(sys.path):
        spec = PathFinder.find_spec("sagas", [entry])
        if spec is None or spec.origin is None:
            continue  # a folder without __init__.py hides nothing, and is hidden by any package
        origin = Path(spec.origin).resolve()
        folder = origin.parent.parent if origin.name == "__init__.py" else origin.parent
        if folder not in known:
            yield Lack(
                f"{spec.origin} is named sagas too. `import sagas` finds {HERE / 'sagas'} here, and may find the "
                "other one in a process that starts elsewhere.",
                "Rename it, or move it into a package; an app needs another label too (docs/how-to/install.md).",
            )


def _folder(found: Distribution) -> Path:
    return Path(str(found.locate_file(""))).resolve()


def _is_editable(found: Distribution) -> bool:
    """Whether it only points to a folder with the source, whose version may have changed since."""
    url = found.read_text("direct_url.json")
    return bool(url and json.loads(url).get("dir_info", {}).get("editable"))
