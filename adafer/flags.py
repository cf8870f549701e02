"""Settings as flat words: what a frozen dataclass of settings offers, and words to its types."""

import ast
import inspect
import textwrap
from dataclasses import dataclass, fields, is_dataclass
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from adafer.errors import WordsError


@dataclass(frozen=True, kw_only=True)
class Flag:
    """One setting as a flat word."""

    name: str
    part: str
    field: str
    kind: Any
    default: Any
    help: str

    @property
    def choices(self) -> tuple[str, ...] | None:
        """Values that a Literal allows."""
        return tuple(map(str, get_args(self.kind))) if get_origin(self.kind) is Literal else None

    def parsed(self, value: Any) -> Any:
        """Return the value in the setting's own type.

        Raises:
            WordsError: if it has another type or is not among the choices.
        """
        try:
            return converted(self.kind, value)
        except (TypeError, ValueError):
            wanted = " | ".join(self.choices) if self.choices else _type_name(self.kind)
            word = self.name.replace("_", "-")
            raise WordsError(f"--{word} takes {wanted}, not {value!r}") from None


def flags_of(part: str, settings: Any) -> list[Flag]:
    """Return each field of a settings value as a flat word, in its order."""
    hints, texts = get_type_hints(type(settings)), _field_help(type(settings))
    return [
        Flag(
            name=item.name,
            part=part,
            field=item.name,
            kind=hints[item.name],
            default=getattr(settings, item.name),
            help=texts.get(item.name, ""),
        )
        for item in fields(settings)
    ]


def _field_help(settings_class: type) -> dict[str, str]:
    """Text under each field of a settings class, base classes included."""
    texts: dict[str, str] = {}
    for base in reversed(settings_class.__mro__):
        if not is_dataclass(base):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        assert isinstance(body, ast.ClassDef)
        for node, following in zip(body.body, body.body[1:], strict=False):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                match following:
                    case ast.Expr(value=ast.Constant(value=str(text))):
                        texts[node.target.id] = " ".join(text.split())
    return texts


def converted(kind: Any, value: Any) -> Any:
    """Return a value, often a word, as this type; raises ValueError or TypeError."""
    origin = get_origin(kind)
    if origin is Literal:
        for choice in get_args(kind):
            if value == choice or str(value) == str(choice):
                return choice
        raise ValueError(value)
    if origin in (Union, UnionType):
        return converted(next(arm for arm in get_args(kind) if arm is not type(None)), value)
    if origin is tuple:
        items = [word for word in value.split(",") if word] if isinstance(value, str) else value
        return tuple(converted(get_args(kind)[0], item) for item in items)
    if kind is bool:
        return _as_bool(value)
    if kind is int and (isinstance(value, bool) or float(value) != int(float(value))):
        raise ValueError(value)
    if kind is str and not isinstance(value, str):
        value = str(value)
    return int(float(value)) if kind is int else kind(value)


def _as_bool(value: Any) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if isinstance(value, bool):
        return value
    if str(value).lower() not in words:
        raise ValueError(value)
    return words[str(value).lower()]


def _type_name(kind: Any) -> str:
    return {int: "a whole number", float: "a number", bool: "true or false"}.get(kind, "words")
