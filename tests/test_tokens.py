"""Keys: where they are looked for, in which order, and that their value is never shown."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from adafer.tokens import find_token, provide_token, provide_tracker_token

NAME = "WANDB_API_KEY"


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder on a machine that is neither Kaggle nor Colab."""
    monkeypatch.chdir(tmp_path)
    for name in (NAME, "HF_TOKEN", "WANDB_MODE", "ADAFER_KAGGLE_ROOT", "COLAB_RELEASE_TAG"):
        monkeypatch.setenv(name, "")  # put back what was there, in the end
        monkeypatch.delenv(name)
    monkeypatch.delenv("KAGGLE_KERNEL_RUN_TYPE", raising=False)


def on_kaggle(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ask: Callable[[str], object]
) -> None:
    monkeypatch.setenv("ADAFER_KAGGLE_ROOT", str(tmp_path))
    stand_in = ModuleType("kaggle_secrets")
    client = type("UserSecretsClient", (), {"get_secret": lambda self, name: ask(name)})
    stand_in.UserSecretsClient = client  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "kaggle_secrets", stand_in)


def refusing(error: Exception) -> Callable[[str], object]:
    def ask(name: str) -> object:
        raise error

    return ask


def test_the_order_is_environment_then_kaggle_then_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(".env").write_text(f"{NAME}=of-file\n")
    assert find_token(NAME).value == "of-file"
    on_kaggle(monkeypatch, tmp_path, lambda name: f"{name.lower()}-of-kaggle ")
    assert find_token(NAME).value == "wandb_api_key-of-kaggle"
    monkeypatch.setenv(NAME, "of-environment")
    assert find_token(NAME).value == "of-environment"
    assert find_token("HF_TOKEN").value == "hf_token-of-kaggle"


def test_a_found_key_reaches_the_environment_and_one_line_says_from_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    on_kaggle(monkeypatch, tmp_path, lambda name: "very-secret")
    said: list[str] = []
    assert provide_token(NAME, said.append)
    assert os.environ[NAME] == "very-secret"
    assert said == [f"{NAME}: from Kaggle's secrets"]
    assert provide_token(NAME, said.append)
    assert len(said) == 1


@pytest.mark.parametrize(
    "error",
    [
        ConnectionError("time-out"),
        type("BackendError", (Exception,), {})("{'secret': 'very-secret'}"),
        type("CredentialError", (Exception,), {})("no token"),
        KeyError("x"),
    ],
)
def test_every_failure_is_one_line_without_what_the_service_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    on_kaggle(monkeypatch, tmp_path, refusing(error))
    said: list[str] = []
    assert not provide_token(NAME, said.append)
    place = "Kaggle's secrets (Add-ons > Secrets)"
    assert said == [f"{NAME}: not in {place}: {type(error).__name__}"]
    Path(".env").write_text(f"{NAME}=of-file\n")
    assert provide_token(NAME, said.append)
    assert said[1:] == [f"{NAME}: from .env"]


@pytest.mark.parametrize("value", [None, "", " ", 7, "two words", "line\nbreak", "nul\0", "ключ"])
def test_what_is_no_key_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: object
) -> None:
    on_kaggle(monkeypatch, tmp_path, lambda name: value)
    token = find_token(NAME)
    assert token.value is None
    assert "is no key" in token.told


def test_a_missing_module_is_a_failure_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADAFER_KAGGLE_ROOT", str(tmp_path))
    monkeypatch.setitem(sys.modules, "kaggle_secrets", None)
    assert find_token(NAME).told.endswith("ModuleNotFoundError")


def test_colab_is_asked_on_colab_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    userdata = ModuleType("google.colab.userdata")
    userdata.get = lambda name: "of-colab"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "google.colab.userdata", userdata)
    assert find_token(NAME).value is None
    assert find_token(NAME).told == ""
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release")
    assert (find_token(NAME).value, find_token(NAME).told) == ("of-colab", "from Colab's secrets")
    userdata.get = refusing(TimeoutError())  # type: ignore[attr-defined]
    assert find_token(NAME).told.endswith(": TimeoutError")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("WANDB_API_KEY=abc", "abc"),
        ("\ufeffexport WANDB_API_KEY = 'a#b' # mine\r\n", "a#b"),
        ('OTHER=1\n# WANDB_API_KEY=no\nWANDB_API_KEY="abc"\n', "abc"),
        ("WANDB_API_KEY=abc # mine", "abc"),
        ("MY_WANDB_API_KEY=abc", None),
        ("WANDB_API_KEY=", None),
        ("WANDB_API_KEY=$(cat /etc/passwd)", None),
        ("", None),
    ],
)
def test_a_file_is_read_line_by_line_and_nothing_in_it_is_run(text: str, value: str | None) -> None:
    Path(".env").write_bytes(text.encode())
    assert find_token(NAME).value == value


def test_a_file_that_is_no_text_is_told_and_a_folder_is_passed_over() -> None:
    Path(".env").write_bytes(b"\xff\xfe\x00")
    assert find_token(NAME).told == ".env cannot be read (UnicodeDecodeError)"
    Path(".env").unlink()
    Path(".env").mkdir()
    assert find_token(NAME).told == ""


def test_only_a_tracker_that_goes_online_is_given_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    on_kaggle(monkeypatch, tmp_path, lambda name: asked.append(name) or "abc")
    said: list[str] = []
    for tracker in ("off", "trackio", "tensorboard", "mlflow"):
        provide_tracker_token(tracker, said.append)
    for mode in ("offline", "disabled"):
        monkeypatch.setenv("WANDB_MODE", mode)
        provide_tracker_token("wandb", said.append)
    assert asked == said == []
    monkeypatch.setenv("WANDB_MODE", "online")
    provide_tracker_token("wandb", said.append)
    assert asked == [NAME]


def test_a_key_is_not_shown() -> None:
    Path(".env").write_text(f"{NAME}=very-secret\n")
    assert "very-secret" not in repr(find_token(NAME)) + str(find_token(NAME))
