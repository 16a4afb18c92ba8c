"""The sagas that this process has registered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagas import runtime
from sagas.errors import DefinitionError, UnknownSaga

if TYPE_CHECKING:
    from sagas.definition.definition import Definition
    from sagas.definition.objectives import Objective


def register(definition: Definition) -> None:
    """Register a definition. Another class with the same name and version is a ``DefinitionError``.

    The same class may come again: a module may be imported a second time after its first import has failed, or may be
    reloaded.
    """
    known = runtime.declared.definitions.get((definition.name, definition.version))
    if known is not None:
        twice = f"{definition.name} version {definition.version} is declared twice"
        if known.declared_by != definition.declared_by:
            msg = f"{twice}: by {known.declared_by} and by {definition.declared_by}; give one another name or version"
            raise DefinitionError(msg)
        if known.shape.number != definition.shape.number:
            msg = f"{twice}, with other steps or confirmations, by {definition.declared_by}; give one another version"
            raise DefinitionError(msg)
    runtime.declared.definitions[definition.name, definition.version] = definition


def find_registered(name: str, version: int) -> Definition:
    """Return the definition of this name and version, or raise ``UnknownSaga``."""
    try:
        return runtime.declared.definitions[name, version]
    except KeyError:
        broken = runtime.declared.failed_imports
        why = f" ({'; '.join(f'{m}: {e}' for m, e in broken.items())})" if broken else ""
        msg = f"no saga {name!r} version {version} is known here{why}"
        raise UnknownSaga(msg) from None


def is_registered(definition: Definition) -> bool:
    """Whether this very definition is registered under its name and version, or is a variant of one that is."""
    known = runtime.declared.definitions.get((definition.name, definition.version))
    if known is None or known is definition:
        return known is not None
    return known.variants.get(definition.shape.number) is definition


def objectives() -> dict[str, tuple[Objective, ...]]:
    """The objectives of each saga that has any, by the saga's name: those of its newest version."""
    newest = {definition.name: definition for definition in all_definitions()}
    return {name: definition.objectives for name, definition in newest.items() if definition.objectives}


def all_definitions() -> list[Definition]:
    """List every definition, by name and version."""
    known = runtime.declared.definitions
    return [known[key] for key in sorted(known)]
