"""Models of the Hugging Face hub: fetched into its cache, pinned by commit and by hash.

Two files are asked for, weights as safetensors and their config.json; whatever else a repository
holds stays there, a pickle above all.
"""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import (
    BadRequestError,
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.errors import HTTPError as ClientError  # type: ignore[attr-defined]
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from adafer.errors import AdaferError, DataError, MachineError, WordsError

WEIGHTS = "weights/best.safetensors"
CONFIG = "weights/config.json"
LOGIN = "log in with `hf auth login` or set HF_TOKEN"

RUNS = "runs"
"""Where runs lie by default, so not taken for an owner, whether it is there or not."""

_SCHEME = "hf:"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CHANGED = (409, 412)  # another commit came first
_NO_LOGIN, _FORBIDDEN, _TOO_MANY = 401, 403, 429


@dataclass(frozen=True)
class FetchedModel:
    """A model of the hub in the cache of this machine."""

    repository: str  # OWNER/NAME
    commit: str  # 40 hex digits
    weights: Path  # config.json lies beside them
    sha256: str  # of the weights


def hub_name(path: str | Path) -> str | None:
    """Return OWNER/NAME or OWNER/NAME@REVISION if that is meant, or None for a place on this disk.

    `hf:OWNER/NAME` always is a name. Without `hf:` it is one only where neither the path nor a
    folder OWNER is here, so that a misspelt path asks nothing of the network.
    """
    text = path.as_posix() if isinstance(path, Path) else path
    if text.startswith(_SCHEME):
        return text.removeprefix(_SCHEME)
    owner, _, name = text.partition("/")
    if not re.fullmatch(r"\w[\w.-]*", owner) or not re.fullmatch(r"\w[^/\\]*", name):
        return None
    if owner == RUNS:
        return None
    if name.lower().endswith((".onnx", ".safetensors", ".pt", ".pth", ".ckpt", ".bin")):
        return None
    return None if Path(text).exists() or Path(owner).exists() else text


def local_path(path: str | Path, *, revision: str | None = None, sha256: str | None = None) -> Path:
    """Path of a model as it is, or of the weights of the hub's model that is meant.

    Raises:
        WordsError: pins for a path.
        DataError, MachineError: what `fetch_model` raises.
    """
    name = hub_name(path)
    if name is not None:
        return fetch_model(name, revision=revision, sha256=sha256).weights
    if revision is not None or sha256 is not None:
        raise WordsError(
            f"{path} is a path, and revision and sha256 pin a model of the hub; leave them out"
        )
    return Path(path)


def checked_name(repository: str) -> str:
    """Return OWNER/NAME; raises WordsError where that is no name of the hub."""
    try:
        validate_repo_id(repository)
    except HFValidationError:
        repository = ""
    if repository.count("/") != 1:
        raise WordsError(
            "a repository of the hub is called OWNER/NAME, of letters, digits, '-', '_' and '.'; "
            "correct the name"
        )
    return repository


def fetch_model(
    name: str, *, revision: str | None = None, sha256: str | None = None
) -> FetchedModel:
    """Fetch weights and config.json of OWNER/NAME[@REVISION], or find them in the cache.

    `revision` is a commit, tag or branch; only a commit never changes. `sha256` is the hash that
    the weights must have.

    Raises:
        DataError: no such model, no access to it, or weights of another hash, which are then
            removed from the cache.
        MachineError: the hub cannot be reached and the cache does not hold the model.
        WordsError: a name, revision or hash that cannot be one.
    """
    repository, _, inline = name.partition("@")
    if inline and revision not in (None, inline):
        raise WordsError(
            f"the name says revision {inline!r}, revision= says {revision!r}; give one"
        )
    revision = revision or inline or None
    if sha256 is not None and not _SHA256.fullmatch(sha256.lower()):
        raise WordsError(
            "sha256 must be the 64 hexadecimal digits of the weights' hash; correct it"
        )
    checked_name(repository)
    with hub_errors(repository, revision):
        config = downloaded(repository, CONFIG, revision)
        commit = config.parents[1].name  # both files from one commit, whatever happens meanwhile
        weights = downloaded(repository, WEIGHTS, commit)
    found = _sha256_of(weights)
    if sha256 is not None and found != sha256.lower():
        _remove(weights)
        raise DataError(
            f"the weights of {repository} are not those that were asked for (sha256 {found[:12]}…, "
            f"wanted {sha256.lower()[:12]}…), so they were removed from the cache; ask the "
            "publisher, or pin the commit that you know with revision="
        )
    return FetchedModel(repository, commit, weights, found)


def downloaded(repository: str, place: str, revision: str | None = None) -> Path:
    """Path of a file of the hub in its cache, fetched if need be.

    Raises:
        HfHubHTTPError: the hub refuses it.
        ClientError, OSError: it cannot be reached, and the cache does not hold the file.
    """
    try:
        return Path(hf_hub_download(repository, place, revision=revision))
    except HfHubHTTPError:
        raise
    except ClientError:  # a connection that broke; the client looks into its cache for others only
        return Path(hf_hub_download(repository, place, revision=revision, local_files_only=True))


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remove(file: Path) -> None:
    """Remove a file of the cache: the name in the snapshot, and the bytes behind it."""
    blob = file.resolve()
    file.unlink(missing_ok=True)
    if blob.is_relative_to(Path(constants.HF_HUB_CACHE).resolve()):
        blob.unlink(missing_ok=True)


@contextmanager
def hub_errors(
    repository: str, revision: str | None = None, *, writing: bool = False
) -> Iterator[None]:
    """Turn what the hub's client raises into our errors; no token or address is repeated."""
    try:
        yield
    except AdaferError:
        raise
    except (ClientError, EntryNotFoundError, OSError, ValueError, RuntimeError) as error:
        raise _sentence(error, repository, revision, writing) from None


def _sentence(
    error: BaseException, repository: str, revision: str | None, writing: bool
) -> AdaferError:
    """One sentence on an error, or on the first of its causes that says more."""
    cause: BaseException | None = error
    lost = False
    while cause is not None and not isinstance(cause, AdaferError):
        if isinstance(cause, HfHubHTTPError):
            return _refused(cause, repository, revision, writing)
        lost = lost or isinstance(cause, ClientError | ConnectionError)
        cause = cause.__cause__ or cause.__context__
    if lost or isinstance(error, EntryNotFoundError):
        return _unreached(repository, writing)
    if isinstance(error, OSError) and error.strerror:
        return MachineError(
            f"the hub's cache cannot be used ({error.strerror}); free space, or set HF_HOME to a "
            "folder that can be written"
        )
    kind = type(error).__name__
    return MachineError(f"the hub answered for {repository} what is no answer ({kind}); try later")


def _unreached(repository: str, writing: bool) -> MachineError:
    if constants.HF_HUB_OFFLINE:
        doing = "publishing needs the hub" if writing else f"{repository} is not in the cache"
        return MachineError(f"HF_HUB_OFFLINE is set and {doing}; unset it and run this again")
    if writing:
        return MachineError(
            f"the hub cannot be reached for {repository}; connect and run this again"
        )
    return MachineError(
        f"no model '{repository}' on this disk, the hub cannot be reached and its cache does not "
        "hold it; correct the path, or connect once to fetch it"
    )


def _refused(
    error: HfHubHTTPError, repository: str, revision: str | None, writing: bool
) -> AdaferError:
    if isinstance(error, GatedRepoError):
        return DataError(
            f"{repository} is gated; accept its terms on its page of the hub, then {LOGIN}"
        )
    if isinstance(error, RevisionNotFoundError):
        return WordsError(f"{repository} has no revision {revision!r}; correct it")
    if isinstance(error, EntryNotFoundError):
        return DataError(
            f"{repository} holds no model that `adafer publish` wrote (no {WEIGHTS} with its "
            "config.json); name another repository"
        )
    status = error.response.status_code
    if status == _NO_LOGIN and not isinstance(error, RepositoryNotFoundError):
        return MachineError(f"the hub does not know this login ({status}); {LOGIN} anew")
    if isinstance(error, RepositoryNotFoundError):
        return DataError(
            f"no model '{repository}' on this disk or on the hub, or it is private; correct the "
            f"name, or {LOGIN}"
        )
    return _refused_by_status(status, repository, writing, isinstance(error, BadRequestError))


def _refused_by_status(status: int, repository: str, writing: bool, bad: bool) -> AdaferError:
    if status == _FORBIDDEN:
        if writing:
            return DataError(
                f"this login may not write to {repository} ({status}); name a repository of your "
                "own, or use a token with write access to it"
            )
        return DataError(f"the hub refuses {repository} ({status}); ask its owner for access")
    if status in _CHANGED:
        return AdaferError(
            f"{repository} was changed by somebody else meanwhile ({status}); look at it and run "
            "this again"
        )
    if status == _TOO_MANY:
        return MachineError(f"the hub asks for patience ({status}); run this again in some minutes")
    if bad:
        return AdaferError(
            f"the hub refuses what was sent to {repository} ({status}); correct the front matter "
            "of a card of your own, or update adafer"
        )
    return MachineError(f"the hub answered {status} for {repository}; try again later")
