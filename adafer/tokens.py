"""Where keys of services come from: the environment, Kaggle's or Colab's secrets, a .env file.

The value of a key is never printed, logged or written; only where it was found is said.
"""

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adafer.kaggle import workplace

TOKENS = ("WANDB_API_KEY", "HF_TOKEN")
"""Keys that are looked for: of Weights & Biases, of the Hugging Face hub."""

_LARGEST = 65_536  # bytes of a .env file

Say = Callable[[str], None]


@dataclass(frozen=True)
class Token:
    """A key and where it was found; without a value, why there is none."""

    value: str | None
    told: str

    def __repr__(self) -> str:
        """Show where it was found, never the value."""
        return f"Token({'...' if self.value else None}, {self.told!r})"


def provide_token(name: str, say: Say) -> bool:
    """Put a key into the environment, where libraries look for it; one line says from where.

    False if there is none; then a line says why, where this machine has a store of secrets.
    """
    if os.environ.get(name):
        return True
    token = find_token(name)
    if token.told:
        say(f"{name}: {token.told}")
    if token.value is None:
        return False
    os.environ[name] = token.value
    return True


def provide_tracker_token(tracker: str, say: Say) -> None:
    """Provide the key of a tracker that wants one, unless it was told to stay offline."""
    if tracker == "wandb" and os.environ.get("WANDB_MODE") not in ("offline", "disabled"):
        provide_token("WANDB_API_KEY", say)


def find_token(name: str) -> Token:
    """Look for a key, in order: environment, Kaggle's secrets, Colab's secrets, `.env` here."""
    if os.environ.get(name):
        return Token(os.environ[name], "from the environment")
    kind = workplace().kind
    stored = Token(None, "")
    if kind == "kaggle":
        stored = _stored(name, "Kaggle's secrets (Add-ons > Secrets)", _ask_kaggle)
    elif kind == "colab":
        stored = _stored(name, "Colab's secrets (the key on the left)", _ask_colab)
    if stored.value is not None:
        return stored
    written = _from_file(name, Path(".env"))
    return written if written.value is not None or not stored.told else stored


def _stored(name: str, store: str, ask: Callable[[str], Any]) -> Token:
    try:
        found = ask(name)
    # Another company's module, in a version that nobody can know here; whatever fails in it must
    # not stop a training. Its message is not repeated, as it may quote what the service answered.
    except Exception as error:
        return Token(None, f"not in {store}: {type(error).__name__}")
    if not _is_key(found):
        return Token(None, f"not in {store}: what is there is no key")
    return Token(str(found).strip(), f"from {store.partition(' (')[0]}")


def _ask_kaggle(name: str) -> Any:
    return importlib.import_module("kaggle_secrets").UserSecretsClient().get_secret(name)


def _ask_colab(name: str) -> Any:
    return importlib.import_module("google.colab.userdata").get(name)


def _from_file(name: str, path: Path) -> Token:
    """Read `NAME=value` lines; quotes, `export` and comments are understood, nothing else."""
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST).decode("utf-8-sig")
    except (FileNotFoundError, IsADirectoryError):
        return Token(None, "")
    except (OSError, UnicodeDecodeError) as error:
        return Token(None, f"{path} cannot be read ({type(error).__name__})")
    for line in text.splitlines():
        key, mark, value = line.strip().removeprefix("export ").partition("=")
        if mark and key.strip() == name:
            value = _unquoted(value)
            return Token(value, f"from {path}") if _is_key(value) else Token(None, "")
    return Token(None, "")


def _unquoted(text: str) -> str:
    text = text.strip()
    if text[:1] in ("'", '"'):
        return text[1:].partition(text[0])[0]
    return text.partition(" #")[0].strip()


def _is_key(value: object) -> bool:
    """Whether this may be a key: one printable word."""
    if not isinstance(value, str) or not value.strip():
        return False
    word = value.strip()
    return word.isprintable() and word.isascii() and " " not in word
