"""A whole experiment as one frozen value: to text and back, and changed by flat names."""

import ast
import inspect
import textwrap
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from difflib import get_close_matches
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from adafer.errors import WordsError
from adafer.settings.data import DataSettings
from adafer.settings.loss import LOSS_SETTINGS, LossSettings, PonderLossSettings
from adafer.settings.model import MODEL_SETTINGS, ModelSettings, RecursiveSettings
from adafer.settings.training import PhaseSettings, TrainSettings


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Data, model, loss and training of one experiment."""

    name: str
    summary: str
    data: DataSettings = field(default_factory=DataSettings)
    model: ModelSettings
    loss: LossSettings
    phases: tuple[PhaseSettings, ...] = (PhaseSettings(),)
    train: TrainSettings = field(default_factory=TrainSettings)

    def __post_init__(self) -> None:
        """Refuse combinations that cannot train.

        Raises:
            WordsError: with the setting to change.
        """
        for sentence in _objections(self):
            raise WordsError(sentence)

    @property
    def model_name(self) -> str:
        """Name of the model in MODELS."""
        return _name_of(MODEL_SETTINGS, self.model)

    @property
    def loss_name(self) -> str:
        """Name of the loss in LOSSES."""
        return _name_of(LOSS_SETTINGS, self.loss)

    def changed(self, **changes: Any) -> "Recipe":
        """Return this recipe with flat names changed: `changed(lr=1e-3, max_steps=5)`.

        `loss="pondernet"` takes another loss with its defaults; `phase2_lr` reaches the second
        phase; names without a phase reach the first.

        Raises:
            WordsError: on a name that the recipe does not have, or a value of another type.
        """
        recipe = self
        if "loss" in changes:
            chosen = _choose(LOSS_SETTINGS, str(changes.pop("loss")), "loss")
            pairing = _paired_halting(self, chosen, changes)
            recipe = replace(self, loss=chosen(), model=pairing)
        parts: dict[str, dict[str, Any]] = {}
        known = {flag.name: flag for flag in flags(recipe)}
        for given, value in changes.items():
            name = given.replace("-", "_").replace(".", "_")
            if name not in known:
                raise WordsError(_unknown(given, list(known), recipe.name))
            parts.setdefault(known[name].part, {})[known[name].field] = known[name].parsed(value)
        return _replaced(recipe, parts)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, complete: enough to repeat the experiment."""
        return {
            "name": self.name,
            "summary": self.summary,
            "data": _plain(self.data),
            "model_name": self.model_name,
            "model": _plain(self.model),
            "loss_name": self.loss_name,
            "loss": _plain(self.loss),
            "phases": [_plain(phase) for phase in self.phases],
            "train": _plain(self.train),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Recipe":
        """Rebuild a recipe from `to_dict`.

        Raises:
            WordsError: on a missing part, an unknown field or a value of another type.
        """
        try:
            return cls(
                name=str(values["name"]),
                summary=str(values["summary"]),
                data=_built(DataSettings, values["data"]),
                model=_built(
                    _choose(MODEL_SETTINGS, str(values["model_name"]), "model"), values["model"]
                ),
                loss=_built(
                    _choose(LOSS_SETTINGS, str(values["loss_name"]), "loss"), values["loss"]
                ),
                phases=tuple(_built(PhaseSettings, phase) for phase in values["phases"]),
                train=_built(TrainSettings, values["train"]),
            )
        except (KeyError, TypeError) as error:
            message = f"this recipe has no part {error}; take one that `adafer train` wrote"
            raise WordsError(message) from None

    def to_yaml(self) -> str:
        """Return the written form that a run folder keeps."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True)

    @classmethod
    def from_yaml(cls, text: str) -> "Recipe":
        """Read the written form.

        Raises:
            WordsError: where the text is no YAML or no recipe.
        """
        try:
            values = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise WordsError(
                f"the recipe is not YAML ({type(error).__name__}); repair it"
            ) from None
        return cls.from_dict(values)


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
            return _converted(self.kind, value)
        except (TypeError, ValueError):
            wanted = " | ".join(self.choices) if self.choices else _type_name(self.kind)
            word = self.name.replace("_", "-")
            raise WordsError(f"--{word} takes {wanted}, not {value!r}") from None


def flags(recipe: Recipe) -> list[Flag]:
    """Return every setting of a recipe as a flat word, in the order of help."""
    found = [
        *_flags_of("data", recipe.data),
        *_flags_of("model", recipe.model),
        *_flags_of("loss", recipe.loss),
        *_flags_of("train", recipe.train),
    ]
    for number, phase in enumerate(recipe.phases, 1):
        prefix = "" if number == 1 else f"phase{number}_"
        found += [
            replace(flag, name=prefix + flag.name, part=f"phase{number}")
            for flag in _flags_of("phase", phase)
        ]
    return found


def _flags_of(part: str, settings: Any) -> list[Flag]:
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


def _converted(kind: Any, value: Any) -> Any:
    origin = get_origin(kind)
    if origin is Literal:
        for choice in get_args(kind):
            if value == choice or str(value) == str(choice):
                return choice
        raise ValueError(value)
    if origin in (Union, UnionType):
        return _converted(next(arm for arm in get_args(kind) if arm is not type(None)), value)
    if origin is tuple:
        items = [word for word in value.split(",") if word] if isinstance(value, str) else value
        return tuple(_converted(get_args(kind)[0], item) for item in items)
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


def _replaced(recipe: Recipe, parts: dict[str, dict[str, Any]]) -> Recipe:
    phases = list(recipe.phases)
    whole: dict[str, Any] = {}
    for part, values in parts.items():
        if part.startswith("phase"):
            index = int(part.removeprefix("phase")) - 1
            phases[index] = replace(phases[index], **values)
        else:
            whole[part] = replace(getattr(recipe, part), **values)
    return replace(recipe, phases=tuple(phases), **whole)


def _built(settings_class: type[Any], values: Mapping[str, Any]) -> Any:
    hints = get_type_hints(settings_class)
    unknown = set(values) - {item.name for item in fields(settings_class)}
    if unknown:
        word = sorted(unknown)[0]
        raise WordsError(_unknown(word, list(hints), settings_class.__name__))
    kinds = {
        item.name: Flag(
            name=item.name,
            part="",
            field=item.name,
            kind=hints[item.name],
            default=None if item.default is MISSING else item.default,
            help="",
        )
        for item in fields(settings_class)
    }
    return settings_class(**{name: kinds[name].parsed(value) for name, value in values.items()})


def _plain(settings: Any) -> dict[str, Any]:
    values = {item.name: getattr(settings, item.name) for item in fields(settings)}
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in values.items()
    }


def _choose(table: Mapping[str, type[Any]], name: str, what: str) -> type[Any]:
    if name not in table:
        near = get_close_matches(name, table, 1, 0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(table)}"
        raise WordsError(f"no {what} {name!r}; {hint}")
    return table[name]


def _unknown(given: str, known: list[str], where: str) -> str:
    name = given.replace("_", "-")
    near = get_close_matches(given.replace("-", "_"), known, 1, 0.5)
    if near:
        return f"{where} has no setting --{name}; did you mean --{near[0].replace('_', '-')}?"
    return f"{where} has no setting --{name}; `adafer train {where} --help` lists them"


def _name_of(table: Mapping[str, type], settings: Any) -> str:
    return next(name for name, known in table.items() if type(settings) is known)


def _type_name(kind: Any) -> str:
    return {int: "a whole number", float: "a number", bool: "true or false"}.get(kind, "words")


def _paired_halting(recipe: Recipe, loss: type, changes: Mapping[str, Any]) -> ModelSettings:
    """PonderNet's rule and loss come together; naming the loss brings the rule."""
    model = recipe.model
    if not isinstance(model, RecursiveSettings):
        return model
    if "halting" in changes:
        kind = get_type_hints(RecursiveSettings)["halting"]
        return replace(model, halting=_converted(kind, changes["halting"]))
    if loss is LOSS_SETTINGS["pondernet"]:
        return replace(model, halting="ponder")
    return model


def _objections(recipe: Recipe) -> list[str]:
    data, model, loss, train = recipe.data, recipe.model, recipe.loss, recipe.train
    checks = [
        (data.batch_size >= 1, "--batch-size must be 1 or more"),
        (data.img_size >= 12, "--img-size must be 12 or more pixels"),
        (0 < data.validation_fraction < 1, "--validation-fraction must lie between 0 and 1"),
        (0 <= data.max_bad < 1, "--max-bad is a share from 0 to 1"),
        (data.workers >= -1, "--workers must be -1 (choose) or more"),
        (data.toy_faces >= 56, "--toy-faces must be 56 or more"),
        (0 <= data.toy_ambiguity <= 1, "--toy-ambiguity is a share from 0 to 1"),
        (0 <= loss.label_smoothing < 1, "--label-smoothing must be from 0 to below 1"),
        (0 < getattr(loss, "prior_lambda", 0.5) < 1, "--prior-lambda must lie between 0 and 1"),
        (0 <= train.ema < 1, "--ema must be from 0 to below 1"),
        (train.accumulate >= 1, "--accumulate must be 1 or more"),
        (train.clip >= 0, "--clip must be 0 or more"),
        (train.mixup >= 0, "--mixup must be 0 or more"),
        (bool(recipe.phases), "a recipe needs a phase"),
    ]
    for phase in recipe.phases:
        checks += [
            (phase.epochs >= 1, "--epochs must be 1 or more"),
            (phase.lr > 0, "--lr must be above 0"),
            (0 <= phase.warmup < 1, "--warmup must be from 0 to below 1"),
        ]
    if isinstance(model, RecursiveSettings):
        checks += _recursive_checks(model, recipe.loss_name)
    elif isinstance(loss, PonderLossSettings):
        checks.append((False, f"{recipe.name} takes no steps; choose --loss cross-entropy"))
    return [sentence for holds, sentence in checks if not holds]


def _recursive_checks(model: RecursiveSettings, loss_name: str) -> list[tuple[bool, str]]:
    return [
        (model.max_steps >= 1, "--max-steps must be 1 or more"),
        (
            model.channels % 8 == 0 and model.channels >= 16,
            "--channels must be a multiple of 8 from 16 up: with one channel a group, "
            "GroupNorm would hide from the halting unit what it averages",
        ),
        (
            model.stem_channels % 8 == 0 and model.stem_channels > 0,
            "--stem-channels: multiple of 8",
        ),
        (model.stem_stride in (2, 4), "--stem-stride must be 2 or 4"),
        (0 < model.halt_epsilon < 1, "--halt-epsilon must lie between 0 and 1"),
        (0 < model.confidence <= 1, "--confidence must be above 0 and at most 1"),
        (1 <= model.min_steps <= model.max_steps, "--min-steps must be from 1 to --max-steps"),
        (model.pool >= 1, "--pool must be 1 or more"),
        (
            (model.halting == "ponder") == (loss_name == "pondernet"),
            "--halting ponder and --loss pondernet belong together; give both or neither",
        ),
        (
            loss_name != "cross-entropy",
            "the recursive model learns with --loss ponder or pondernet",
        ),
    ]
