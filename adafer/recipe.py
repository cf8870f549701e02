"""A whole experiment as one frozen value: to text and back, and changed by flat names."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from difflib import get_close_matches
from typing import Any, get_type_hints

import yaml

from adafer.errors import WordsError
from adafer.flags import Flag, converted, flags_of
from adafer.objections import objections
from adafer.settings.data import DataSettings
from adafer.settings.loss import LOSS_SETTINGS, LossSettings
from adafer.settings.model import MODEL_SETTINGS, ModelSettings, RecursiveSettings
from adafer.settings.training import PhaseSettings, TrainSettings
from adafer.synonyms import in_own_names


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Data, model, loss and training of one experiment, and the folder in which its runs are kept.

    `runs` holds where no other folder is named; on Kaggle another one stands for it.
    """

    name: str
    summary: str
    data: DataSettings = field(default_factory=DataSettings)
    model: ModelSettings
    loss: LossSettings
    phases: tuple[PhaseSettings, ...] = (PhaseSettings(),)
    train: TrainSettings = field(default_factory=TrainSettings)
    runs: str = "runs"

    def __post_init__(self) -> None:
        """Refuse combinations that cannot train.

        Raises:
            WordsError: with the setting to change.
        """
        for sentence in objections(self, self.loss_name):
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
        phase; names without a phase reach the first. Naming the CSV files of the faces drops the
        data set, and naming a data set drops them.

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
        now = {name: flag.default for name, flag in known.items()}
        for given, value in _one_source(in_own_names(changes, now.get), now).items():
            name = given.replace("-", "_").replace(".", "_")
            if name not in known:
                raise WordsError(_unknown(given, list(known), recipe.name))
            parts.setdefault(known[name].part, {})[known[name].field] = known[name].parsed(value)
        return _replaced(recipe, parts)

    def measured_on(self, data: str | None) -> "Recipe":
        """Return this recipe on another data set, whole, as a trained model meets it; None: same.

        What was said of the faces it learned from goes: layout, CSV files, folds, class count, and
        landmarks that are theirs; those of a detector are looked for again.
        """
        if data is None:
            return self
        kept = self.data.landmarks in ("detector", "canonical")
        return self.changed(
            data=data, layout="auto", folds=0, fold=0, num_classes=0,
            landmarks=self.data.landmarks if kept else "auto",
        )  # fmt: skip

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
            "runs": self.runs,
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
                runs=_folder(values.get("runs", "runs")),
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


def flags(recipe: Recipe) -> list[Flag]:
    """Return every setting of a recipe as a flat word, in the order of help."""
    found = [
        *flags_of("data", recipe.data),
        *flags_of("model", recipe.model),
        *flags_of("loss", recipe.loss),
        *flags_of("train", recipe.train),
    ]
    for number, phase in enumerate(recipe.phases, 1):
        prefix = "" if number == 1 else f"phase{number}_"
        found += [
            replace(flag, name=prefix + flag.name, part=f"phase{number}")
            for flag in flags_of("phase", phase)
        ]
    return found


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


def _one_source(changes: dict[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Add what goes when a data set stands instead of CSV files, or they instead of it."""
    for name in ("train_csv", "val_csv"):
        if name in changes and not str(changes[name] or "").strip():
            raise WordsError(f"--{name.replace('_', '-')} is empty; name a file, or leave it out")
    if "train_csv" in changes and "data" not in changes and now["data"] != "toy":
        return {"data": "toy", "layout": "auto", **changes}
    if "data" in changes and "train_csv" not in changes and now["train_csv"]:
        return {"train_csv": "", "val_csv": "", "layout": "auto"} | changes
    return changes


def _folder(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise WordsError(f"the recipe's `runs` is {value!r}; name a folder, such as runs")
    return value


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


def _paired_halting(recipe: Recipe, loss: type, changes: Mapping[str, Any]) -> ModelSettings:
    """PonderNet's rule and loss come together; naming the loss brings the rule."""
    model = recipe.model
    if not isinstance(model, RecursiveSettings):
        return model
    if "halting" in changes:
        kind = get_type_hints(RecursiveSettings)["halting"]
        return replace(model, halting=converted(kind, changes["halting"]))
    if loss is LOSS_SETTINGS["pondernet"]:
        return replace(model, halting="ponder")
    return model
