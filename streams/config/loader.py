"""A TOML file and the environment, read strictly into msgspec structs.

A section is a struct, a key is a field. Any key can be set from the environment instead; strings
can hold references to it. What is wrong is told by file, key, what was found and the rule.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from schemas.invalid import explain, wrong

Kind = TypeVar("Kind", bound=msgspec.Struct)
Keys = tuple[str, ...]

PREFIX = "SLUICE"
_BETWEEN = {"security": ".", "extra_headers": "-"}
"""What an underscore of a variable stands for in a name that only the environment gives."""
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


class ConfigError(ValueError):
    """A configuration that cannot be used. file: which; key: dotted, None for the whole file."""

    def __init__(self, file: Path, key: str | None, reason: str) -> None:
        super().__init__(f"{file}: {reason}")
        self.file, self.key, self.reason = file, key, reason


def read(
    kind: type[Kind],
    file: Path,
    environment: Mapping[str, str],
    short: Mapping[str, str],
    partly: bool = False,
) -> Kind:
    """Read a file as a `kind`.

    Args:
        kind: What it holds.
        file: The file.
        environment: Names and values of variables.
        short: Variables with names of their own, by dotted key.
        partly: Whether the file may have sections that `kind` does not know; they are not read.

    Raises:
        ConfigError: Something in the file or in the environment is wrong; it raises nothing else.
    """
    try:
        table = tomllib.loads(file.read_text("utf-8-sig"))
    except OSError as error:
        raise ConfigError(file, None, f"cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(file, None, f"not TOML: {error}") from None
    if partly:
        known = {field.encode_name for field in _fields(kind)}
        table = {name: value for name, value in table.items() if name in known}
    reader = _Reader(file, environment, short)
    return reader.struct(kind, reader.resolve(kind, table, ()), ())


def substituted(text: str, find: Callable[[str, str | None], str]) -> str:
    """Put values in for references, ${NAME} or ${NAME:-default}.

    Args:
        text: with references.
        find: called with a name and a default (None without one); returns the value.
    """
    return _REFERENCE.sub(lambda match: find(match[1], match[2]), text)


def variable(keys: Keys) -> str:
    """The environment variable that sets a key: models."gpt-4o".context is
    SLUICE_MODELS_GPT_4O_CONTEXT."""
    return re.sub(r"[^A-Z0-9]", "_", "_".join((PREFIX, *keys)).upper())


class _Reader:
    def __init__(
        self, file: Path, environment: Mapping[str, str], short: Mapping[str, str]
    ) -> None:
        self.file = file
        # An empty variable is one that is not set, as compose files and shells leave it.
        self.environment = {name: value for name, value in environment.items() if value}
        self.short = short
        self.origins: dict[str, str] = {}

    def struct(self, kind: type[Kind], values: dict[str, Any], keys: Keys) -> Kind:
        """Convert resolved values to a struct."""
        try:
            return msgspec.convert(values, kind, dec_hook=_path)
        except msgspec.ValidationError as error:
            invalid = explain(error, kind, b"")
            key = ".".join((*keys, invalid.field or ""))
            origin = f" (from {self.origins[key]})" if key in self.origins else ""
            words = invalid.reason.removeprefix(f"{invalid.field}")
            raise ConfigError(self.file, key, f"{key}{origin}{words}") from None

    def resolve(self, kind: type[Any], table: dict[str, Any], keys: Keys) -> dict[str, Any]:
        """The table's values with references and variables put in; inner sections as structs."""
        fields = {field.encode_name: field.type for field in _fields(kind)}
        for name in table:
            if name not in fields:
                raise self._unknown(name, list(fields), keys)
        values: dict[str, Any] = {}
        for name, info in fields.items():
            found, here = table.get(name), (*keys, name)
            inner, optional = _section(info)
            if inner is None:
                found = self._leaf(info, found, here)
            elif isinstance(found, dict | None):
                resolved = self.resolve(inner, found or {}, here)
                if resolved or found is not None or not optional:
                    found = self.struct(inner, resolved, here)
            if found is not None:
                values[name] = found
        return values

    def _leaf(self, info: inspect.Type, found: Any, keys: Keys) -> Any:
        if isinstance(info, inspect.DictType):
            return self._dictionary(info, found, keys)
        text = _is_text(info)
        for name in (self.short.get(".".join(keys)), variable(keys)):
            if name and name in self.environment:
                self.origins[".".join(keys)] = name
                raw = self.environment[name]
                listed = raw.lstrip().startswith("[") and _holds(info, inspect.ListType)
                return raw if text and not listed else _parse(raw)
        return self._expand(found, text, keys)

    def _dictionary(self, info: inspect.DictType, found: Any, keys: Keys) -> Any:
        if not isinstance(found, dict | None):
            return found
        inner = info.value_type
        if isinstance(inner, inspect.StructType):
            return self._named(inner.cls, found, keys)
        values = {k: self._expand(v, True, (*keys, k)) for k, v in (found or {}).items()}
        known = {variable((*keys, k)): k for k in values}
        prefix, between = variable(keys) + "_", _BETWEEN.get(keys[-1], "_")
        for name in sorted(self.environment):
            if name.startswith(prefix):
                key = name.removeprefix(prefix).lower().replace("_", between)
                raw = self.environment[name]
                values[known.get(name, key)] = raw if _is_text(inner) else _parse(raw)
        return values or found

    def _named(self, kind: type[Any], tables: Any, keys: Keys) -> Any:
        """Sections by name, as [models.<name>]."""
        seen: dict[str, str] = {}
        sections: dict[str, Any] = {}
        for name, table in (tables or {}).items():
            here = (*keys, name)
            if not isinstance(table, dict):
                invalid = wrong(".".join(here), table, "it must be a section of its own")
                raise ConfigError(self.file, invalid.field, invalid.reason)
            if (other := seen.setdefault(variable((name,)), name)) != name:
                reason = f"{'.'.join(keys)}: the same variables would set {other} and {name}"
                raise ConfigError(self.file, ".".join(keys), reason)
            sections[name] = self.struct(kind, self.resolve(kind, table, here), here)
        return sections or tables

    def _expand(self, value: Any, text: bool, keys: Keys) -> Any:
        if isinstance(value, list):
            return [self._expand(each, True, keys) for each in value]
        if isinstance(value, dict):
            return {name: self._expand(each, True, (*keys, name)) for name, each in value.items()}
        if not isinstance(value, str) or "${" not in value:
            return value
        key = ".".join(keys)
        if "${" in _REFERENCE.sub("", value):
            rule = "a reference must be ${NAME} or ${NAME:-default}"
            raise ConfigError(self.file, key, f"{key}: {rule}")

        def find(name: str, default: str | None) -> str:
            if (found := self.environment.get(name, default)) is None:
                rule = f"${{{name}}} is not set in the environment, and has no :-default"
                raise ConfigError(self.file, key, f"{key}: {rule}")
            self.origins[key] = name
            return found

        expanded = substituted(value, find)
        return expanded if text else _parse(expanded)

    def _unknown(self, name: str, known: list[str], keys: Keys) -> ConfigError:
        key = ".".join((*keys, name))
        near = difflib.get_close_matches(name, known, 1, 0.6)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"
        return ConfigError(self.file, key, f"{key}: no such key; {hint}")


def _fields(kind: type[Any]) -> tuple[inspect.Field, ...]:
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    return info.fields


def _section(info: inspect.Type) -> tuple[type[Any] | None, bool]:
    """The struct that a field holds, if it is a section; and whether it may be left out."""
    choices = _choices(info)
    structs = [each.cls for each in choices if isinstance(each, inspect.StructType)]
    optional = any(isinstance(each, inspect.NoneType) for each in choices)
    return (structs[0] if structs else None), optional


def _choices(info: inspect.Type) -> tuple[inspect.Type, ...]:
    if isinstance(info, inspect.Metadata):
        return _choices(info.type)
    if isinstance(info, inspect.UnionType):
        return tuple(inner for each in info.types for inner in _choices(each))
    return (info,)


def _is_text(info: inspect.Type) -> bool:
    text = (inspect.StrType, inspect.LiteralType, inspect.DecimalType, inspect.CustomType)
    return _holds(info, *text)


def _holds(info: inspect.Type, *kinds: type[inspect.Type]) -> bool:
    return any(isinstance(each, kinds) for each in _choices(info))


def _path(kind: type[Any], value: Any) -> Any:
    """Read the one kind of field that msgspec does not know."""
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise ValueError(f"Expected `str`, got `{type(value).__name__}`")


def _parse(raw: str) -> Any:
    """A value as TOML reads it; what it cannot read stays a string, for the rule to refuse."""
    try:
        table = tomllib.loads(f"value = {raw}")
    except (tomllib.TOMLDecodeError, RecursionError):
        return raw
    return table["value"] if len(table) == 1 else raw
