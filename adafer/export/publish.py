"""A release on the Hugging Face hub: one commit with everything, or nothing."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
from huggingface_hub.hf_api import ModelInfo, RepoSibling

from adafer.errors import AdaferError, DataError, MachineError
from adafer.export.release import Release
from adafer.export.run_scan import ALLOWED
from adafer.hub_models import LOGIN, hub_errors

_HUBS_OWN = frozenset({".gitattributes"})  # made with the repository


@dataclass(frozen=True, kw_only=True)
class Published:
    """What the hub holds now."""

    repository: str
    url: str
    commit: str  # 40 hex digits
    sha256: str  # of the weights
    written: int  # files that this commit added or changed; 0 if all was there


def publish(release: Release, *, private: bool = False, update: bool = False) -> Published:
    """Upload a release in one commit, then look whether the hub holds every file as it is here.

    The token is the hub's own: HF_TOKEN, or what `hf auth login` stored. `update` replaces what an
    earlier release left; files that a release never writes stay.

    Raises:
        MachineError: no token, a token that the hub does not know, no network, a hub out of order.
        DataError: the repository is another's, holds other content, or is not as private as asked.
        AdaferError: what arrived is not what was sent, or the repository changed meanwhile.
    """
    name = release.repository
    if get_token() is None:
        raise MachineError(f"no login for the hub; {LOGIN}, then run this again")
    api = HfApi(library_name="adafer")
    with hub_errors(name, writing=True):
        before = _repository(api, name)
    if before is not None:
        _refuse_other(before, release, private=private, update=update)
        if not _differing(before, release.files) and not _stale(before, release.files):
            return _published(api, release, str(before.sha), 0)
    try:
        with hub_errors(name, writing=True):
            if before is None:
                api.create_repo(name, private=private, exist_ok=True)
            commit = _committed(api, release, before)
            after = api.model_info(name, revision=commit, files_metadata=True)
    except AdaferError as error:
        after = _arrived_in_spite(api, release, error)
        commit = str(after.sha)
    missing = _differing(after, release.files)
    if missing:
        raise AdaferError(
            f"{name} does not hold {', '.join(sorted(missing)[:4])} as sent; look for a .gitignore "
            "there that leaves files out, remove it and run this again with --update"
        )
    changed = release.files if before is None else _differing(before, release.files)
    return _published(api, release, commit, len(changed))


def _repository(api: HfApi, name: str) -> ModelInfo | None:
    try:
        return api.model_info(name, files_metadata=True)
    except GatedRepoError:
        raise
    except RepositoryNotFoundError:
        return None


def _committed(api: HfApi, release: Release, before: ModelInfo | None) -> str:
    """Send everything as one commit on top of what was looked at, and return its name."""
    removed = () if before is None else _stale(before, release.files)
    done = api.create_commit(
        release.repository,
        [
            *(CommitOperationAdd(place, data) for place, data in release.files.items()),
            *(CommitOperationDelete(place) for place in removed),
        ],
        commit_message="Publish with adafer" if before is None else "Publish anew with adafer",
        parent_commit=None if before is None else before.sha,
    )
    return str(done.oid)


def _arrived_in_spite(api: HfApi, release: Release, error: AdaferError) -> ModelInfo:
    """The repository if the hub holds everything after an error; else the error and what is so."""
    try:
        with hub_errors(release.repository):
            found = _repository(api, release.repository)
    except AdaferError:
        raise type(error)(
            f"the hub was lost before it confirmed, so either all or nothing is published: {error}"
        ) from None
    if found is not None and not _differing(found, release.files):
        return found
    raise type(error)(f"nothing was published: {error}") from None


def _refuse_other(found: ModelInfo, release: Release, *, private: bool, update: bool) -> None:
    name = release.repository
    if private and not found.private:
        raise DataError(
            f"{name} is there already and public; make it private in its settings on the hub, or "
            "leave out --private"
        )
    others = _differing(found, release.files) | set(_stale(found, release.files))
    holds = {file.rfilename for file in found.siblings or ()} - _HUBS_OWN
    if holds and not update and (others or holds - release.files.keys()):
        raise DataError(
            f"{name} is there already with other content ({len(holds)} files); replace what a "
            "release writes with --update, or choose another name"
        )


def _differing(found: ModelInfo, files: Mapping[str, bytes]) -> set[str]:
    """Places whose content on the hub is not this, or that are not there."""
    there = {file.rfilename: file for file in found.siblings or ()}
    return {
        place
        for place, data in files.items()
        if place not in there or not _is_same(there[place], data)
    }


def _is_same(file: RepoSibling, data: bytes) -> bool:
    if file.lfs is not None:
        return file.lfs.sha256 == hashlib.sha256(data).hexdigest()
    blob = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False)  # as git names it
    return file.blob_id == blob.hexdigest()


def _stale(found: ModelInfo, files: Mapping[str, bytes]) -> list[str]:
    """Files of an earlier release that this one does not have."""
    there = {file.rfilename for file in found.siblings or ()}
    return sorted((there & ALLOWED) - files.keys())


def _published(api: HfApi, release: Release, commit: str, written: int) -> Published:
    return Published(
        repository=release.repository,
        url=f"{api.endpoint}/{release.repository}",
        commit=commit,
        sha256=release.sha256,
        written=written,
    )
