"""What goes wrong with a data set of the hub, in one sentence that never shows a token."""

import errno
import importlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

from adafer.data.files import some
from adafer.errors import AdaferError, DataError, MachineError, WordsError
from adafer.image import printable

_LONGEST = 160  # characters of another library's message
_TOKEN = re.compile(r"\bhf_\w+|(?<=://)[^/\s@]+(?=@)|(?<=[Bb]earer )\S+")
_CAST = ("CastError", "DatasetGenerationCastError")
_CLIENTS = re.compile(r"(httpx|httpcore|requests|aiohttp)\d?\b")  # libraries the hub is asked by
_LOGIN = "log in with `hf auth login` or set HF_TOKEN"


@contextmanager
def in_one_sentence(name: str, revision: str | None = None) -> Iterator[None]:
    """Turn what `datasets` and the hub raise into our errors; `name` is a path or hf:OWNER/NAME."""
    errors = importlib.import_module("huggingface_hub.errors")
    library = importlib.import_module("datasets.exceptions")
    shown = printable(name)
    try:
        yield
    except AdaferError:
        raise
    except library.DatasetNotFoundError as error:
        raise _not_there(str(error), shown, revision) from None
    except (library.DatasetsError, errors.HTTPError, OSError, ValueError, RuntimeError) as error:
        raise _sentence(error, shown, errors) from None


def without_tokens(text: str) -> str:
    """First line of a message, shortened, with everything that may be a token left out."""
    line = next((line for line in text.splitlines() if line.strip()), "no reason given").strip()
    secret = os.environ.get("HF_TOKEN")
    line = _TOKEN.sub("***", line.replace(secret, "***") if secret else line)
    return printable(line if len(line) <= _LONGEST else f"{line[:_LONGEST]}...").rstrip(".")


def _not_there(message: str, name: str, revision: str | None) -> AdaferError:
    if "gated" in message:
        page = f"https://huggingface.co/datasets/{name.removeprefix('hf:')}"
        return DataError(f"{name} is gated; accept its terms at {page}, then {_LOGIN}")
    if message.startswith("Revision"):
        return WordsError(f"{name} has no revision {revision}; correct what stands after @")
    near = _nearest(name)
    hint = f"did you mean hf:{near}?" if near else f"correct the name, or {_LOGIN}"
    return DataError(f"no data set {name} on the hub, or it is private; {hint}")


def _nearest(name: str) -> str | None:
    """Data set of the hub with the most similar name; one request, None where it fails."""
    wanted = name.removeprefix("hf:")
    hub = importlib.import_module("huggingface_hub")
    errors = importlib.import_module("huggingface_hub.errors")
    try:
        found = hub.HfApi().list_datasets(search=wanted.partition("/")[2], limit=20)
        near = get_close_matches(wanted, [str(item.id) for item in found], 1)
    except (errors.HTTPError, OSError, ValueError):
        return None
    return near[0] if near else None


def _sentence(error: Exception, name: str, errors: Any) -> AdaferError:
    """One sentence on an error, or on what caused it."""
    chain: list[BaseException] = [error]
    while chain[-1].__cause__ is not None:
        chain.append(chain[-1].__cause__)
    for link in chain:
        if isinstance(link, errors.HfHubHTTPError):
            return _refused(link, name)
        if isinstance(link, ConnectionError) or _CLIENTS.match(type(link).__module__):
            return _unreached(name)
    return _unusable(chain[-1], str(chain[-1]), name)


def _unusable(cause: BaseException, text: str, name: str) -> AdaferError:
    """One sentence on files that were reached."""
    if isinstance(cause, RuntimeError) and "scripts are no longer supported" in text:
        return DataError(
            f"{name} is made by a script of its own, which is never run; try the tables that the "
            f"hub made of it: --data {name}@refs/convert/parquet"
        )
    if isinstance(cause, ValueError) and re.search(r"Config name is missing|BuilderConfig", text):
        return _which_config(text, name)
    if isinstance(cause, ValueError) and "find cache" in text:
        return MachineError(
            f"the hub cannot be reached and the cache holds another config of {name}; connect once "
            "to fetch this one"
        )
    if isinstance(cause, FileNotFoundError):
        return DataError(f"{name} has no data files that can be read; choose another set")
    if isinstance(cause, OSError) and ("disk space" in text or cause.errno == errno.ENOSPC):
        return MachineError(f"{without_tokens(text)}; free some, or set HF_HOME to a larger disk")
    if isinstance(cause, PermissionError):
        place = printable(str(cause.filename or name))
        return DataError(f"{place} cannot be read ({cause.strerror}); correct its permissions")
    if "BatchSize must be greater than 0" in text:  # how the library reads a file without rows
        return DataError(f"{name} has a file without rows; remove it")
    if type(cause).__name__ in _CAST or "Couldn't cast" in text:
        return DataError(f"the files of {name} have different columns; give all the same")
    return DataError(f"{name} cannot be read ({without_tokens(text)}); fetch it again")


def _unreached(name: str) -> AdaferError:
    if importlib.import_module("huggingface_hub.constants").HF_HUB_OFFLINE:
        return MachineError(
            f"HF_HUB_OFFLINE is set and {name} is not in the cache; unset it once to fetch the set"
        )
    return MachineError(
        f"the hub cannot be reached and {name} is not in the cache; connect once to fetch it, "
        "then it is read without a network"
    )


def _refused(error: Any, name: str) -> AdaferError:
    status = getattr(error.response, "status_code", 0)
    if status in (401, 403):
        return DataError(f"the hub refuses {name} ({status}); {_LOGIN}, or ask for access")
    return MachineError(f"the hub answered {status} for {name}; try again later")


def _which_config(text: str, name: str) -> AdaferError:
    known = re.findall(r"'([^']+)'", text[text.find("[") : text.find("]") + 1])
    listed = some(known, len(known), 12)
    first = known[0] if known else "CONFIG"
    return WordsError(f"{name} has the configs {listed}; choose one, as in hf:OWNER/NAME:{first}")
