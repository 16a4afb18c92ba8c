"""Personal data: how it is marked, where it is in JSON, and how it is masked. Pure.

A mark becomes a set of paths. A path leads from the outermost level to a value: keys, ``*`` for every element of a list
or a mapping, ``**`` for any number of levels.
"""

from __future__ import annotations

import dataclasses
import json
import re
import types
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Annotated, Any, Final, Union, get_args, get_origin, get_type_hints, is_typeddict

from pydantic import BaseModel

from sagas.errors import DefinitionError

#: In place of a value that people may not read, and of a value that was erased.
HIDDEN: Final = "[personal]"
ERASED: Final = "[erased]"

Path = tuple[str, ...]
Paths = frozenset[Path]

#: A shorter value is replaced only if it is a whole word: "Li" is a name, and also a part of "delivery".
_LONG_ENOUGH = 4


class Personal:
    """Marks a field of a request as personal: ``phone: Annotated[str, Personal]``.

    Participants read the value. People see ``[personal]`` in its place, in the admin, in timelines and in the texts of
    errors. ``sagas.erase`` overwrites it after the run has ended. If a field's type is a dataclass or a model, mark the
    whole field, or the fields of that class.
    """


def parse_personal(what: Collection[Any] | bool) -> Paths:
    """Read the argument ``personal=``: ``True`` for everything, or dotted paths such as ``guests.*.name``."""
    if isinstance(what, bool):
        return frozenset({()}) if what else frozenset()
    paths = [what] if isinstance(what, str) else list(what)
    for path in paths:
        if not isinstance(path, str) or "" in path.split("."):
            msg = f"personal={what!r}: {path!r} is no path; write it as 'phone', 'contact.phone' or 'guests.*.name'"
            raise DefinitionError(msg)
    return frozenset(tuple(path.split(".")) for path in paths)


# Types --------------------------------------------------------------------------------------------------------


def personal_paths(kind: Any) -> Paths:
    """The paths of the personal fields of a type in its JSON. The type may contain dataclasses and models."""
    return frozenset(_walk(kind, ()))


def _walk(kind: Any, around: tuple[type, ...]) -> Iterator[Path]:
    origin = get_origin(kind)
    if origin is Annotated:
        inner, *marks = get_args(kind)
        if any(_is_mark(mark) for mark in marks):
            yield ()
        else:
            yield from _walk(inner, around)
    elif origin is Union or origin is types.UnionType:
        for each in get_args(kind):
            yield from _walk(each, around)
    elif origin is not None and isinstance(origin, type):
        fields = _fields(origin)
        if fields is not None:
            yield from _walk_fields(origin, fields, around)
        elif issubclass(origin, Mapping):
            key, value = (*get_args(kind), Any, Any)[:2]
            # A key cannot be masked on its own, so its mark covers the mapping.
            yield from ((),) if () in personal_paths(key) else (("*", *path) for path in _walk(value, around))
        else:
            for each in get_args(kind):
                yield from (("*", *path) for path in _walk(each, around))
    elif isinstance(kind, type) and (fields := _fields(kind)) is not None:
        yield from _walk_fields(kind, fields, around)
    elif hasattr(kind, "__value__"):  # type X = …
        yield from _walk(kind.__value__, around)


def _walk_fields(kind: type, fields: Mapping[str, tuple[Any, bool]], around: tuple[type, ...]) -> Iterator[Path]:
    if kind in around:
        # The type contains itself: all members of these names are personal, at any depth.
        yield from (("**", name) for name, (_, marked) in fields.items() if marked)
        return
    for name, (field, marked) in fields.items():
        if marked:
            yield (name,)
        else:
            yield from ((name, *path) for path in _walk(field, (*around, kind)))


def _fields(kind: type) -> dict[str, tuple[Any, bool]] | None:
    """The fields of a class as in its JSON, each with its type and whether the field itself is marked."""
    if issubclass(kind, BaseModel):
        found = {}
        for name, field in kind.model_fields.items():
            marked = any(_is_mark(mark) for mark in field.metadata) or () in personal_paths(field.annotation)
            # The JSON has its name, or its alias if the model says so.
            for written in {name, field.serialization_alias or name}:
                found[written] = field.annotation, marked
        return found
    if dataclasses.is_dataclass(kind) or is_typeddict(kind):
        hints = get_type_hints(kind, include_extras=True)
        return {name: (hint, () in frozenset(_marks(hint))) for name, hint in hints.items()}
    return None


def _marks(hint: Any) -> Iterator[Path]:
    """The marks on a type hint, or on a member of the union that it is."""
    origin = get_origin(hint)
    if origin is Annotated:
        if any(_is_mark(mark) for mark in get_args(hint)[1:]):
            yield ()
        else:
            yield from _marks(get_args(hint)[0])
    elif origin is Union or origin is types.UnionType:
        for each in get_args(hint):
            yield from _marks(each)


def _is_mark(mark: object) -> bool:
    return mark is Personal or isinstance(mark, Personal)


# Data ---------------------------------------------------------------------------------------------------------


def mask(data: Any, paths: Paths, by: str) -> Any:
    """Copy parsed JSON with ``by`` in place of every value at one of the paths. Null stays null."""
    if not paths:
        return data
    if () in paths:
        return data if data is None else by
    if isinstance(data, dict):
        return {key: mask(value, _below(paths, key), by) for key, value in data.items()}
    if isinstance(data, list):
        return [mask(value, _below(paths, str(index)), by) for index, value in enumerate(data)]
    return data


def personal_values(data: Any, paths: Paths) -> Iterator[str]:
    """Find the texts and numbers at the paths, as texts."""
    if not paths:
        return
    if isinstance(data, dict | list):
        pairs: Iterable[tuple[Any, Any]] = data.items() if isinstance(data, dict) else enumerate(data)
        for key, value in pairs:
            yield from personal_values(value, paths if () in paths else _below(paths, str(key)))
    elif () in paths and data is not None and not isinstance(data, bool):
        yield str(data)


def _below(paths: Paths, key: str) -> Paths:
    """The rest of the paths that lead through ``key``."""
    below = {path[1:] for path in paths if path and path[0] in {key, "*"}}
    for path in paths:
        if path[:1] == ("**",):
            below.add(path)
            if path[1:2] == (key,):
                below.add(path[2:])
    return frozenset(below)


def mask_text(text: str, secrets: Collection[str], by: str) -> str:
    """Replace values in a text, also in the forms in which Python and JSON write them."""
    for secret in sorted({s for s in secrets if s.strip() and s not in {HIDDEN, ERASED}}, key=len, reverse=True):
        for form in {
            secret,
            repr(secret)[1:-1],
            json.dumps(secret)[1:-1],
            json.dumps(secret, ensure_ascii=False)[1:-1],
        }:
            if len(secret) >= _LONG_ENOUGH:
                text = text.replace(form, by)
            else:
                text = re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", lambda _: by, text)
    return text


def mask_texts(data: Any, secrets: Collection[str], by: str) -> Any:
    """Copy parsed JSON with values replaced in all its texts."""
    if not secrets:
        return data
    return _each_text(data, lambda text: mask_text(text, secrets, by))


def _each_text(data: Any, change: Callable[[str], str]) -> Any:
    if isinstance(data, str):
        return change(data)
    if isinstance(data, dict):
        return {key: _each_text(value, change) for key, value in data.items()}
    if isinstance(data, list):
        return [_each_text(value, change) for value in data]
    return data


# A definition's marks -----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class Marks:
    """The paths of personal data in the runs of a saga.

    Attributes:
        request: the paths in the request.
        results: the paths in the results of steps and the data of confirmations, by name.
    """

    request: Paths = frozenset()
    results: Mapping[str, Paths] = dataclasses.field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether there are any paths."""
        return bool(self.request or self.results)

    def of(self, name: str) -> Paths:
        """The paths in the result of a step or the data of a confirmation."""
        return self.results.get(name, frozenset())

    def values(self, request: Any, results: Mapping[str, Any]) -> set[str]:
        """The personal values in the data of a run, as texts."""
        found = set(personal_values(request, self.request))
        for name, result in results.items():
            found.update(personal_values(result, self.of(name)))
        return found

    def hide(self, text: str, request: str, results: str) -> str:
        """Replace a run's personal values in a text.

        Args:
            text: a note, or the text of an exception.
            request: the run's request as JSON text.
            results: the run's results as JSON text.
        """
        if not self:
            return text
        return mask_text(text, self.values(json.loads(request), json.loads(results)), HIDDEN)
