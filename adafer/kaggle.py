"""Where Kaggle keeps inputs and outputs: the one place that knows.

Kaggle mounts data sets read-only at `/kaggle/input/SLUG` or `/kaggle/input/datasets/OWNER/SLUG` and
keeps what lies in `/kaggle/working` when the session ends.
"""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from adafer.archive import extract_dataset
from adafer.errors import DataError, MachineError, WordsError

Kind = Literal["kaggle", "colab", "none"]
Known = Callable[[Path], bool]
"""Whether a folder holds a data set of a known layout."""

ROOT = "ADAFER_KAGGLE_ROOT"
"""Variable that names another folder than /kaggle, for trials away from Kaggle."""
MOST_WORKERS = 4
"""Loading processes on Kaggle, whose machines have two to four cores."""

_MOUNTS = {"datasets": 2, "notebooks": 2, "models": 2, "competitions": 1}  # levels above a SLUG
_DEEPEST = 8  # folders below the inputs in which data sets are looked for
_MOST_FOLDERS = 20_000  # looked into, so that a set of a million folders does not take an hour
_PACKED = (".tar", ".tgz", ".gz", ".7z", ".rar", ".bz2", ".xz")
_SHOWN = 6


@dataclass(frozen=True)
class Workplace:
    """Where inputs lie, read-only, and where outputs are kept; on which kind of machine."""

    inputs: Path | None
    working: Path
    kind: Kind

    @property
    def runs(self) -> Path:
        """Folder of the runs, where no other is named."""
        return self.working / "checkpoints" if self.kind == "kaggle" else Path("runs")

    @property
    def unpacked(self) -> Path:
        """Folder into which zipped inputs are unpacked."""
        return self.working / "data"


def workplace() -> Workplace:
    """Look where this is: Kaggle (or the folder that ADAFER_KAGGLE_ROOT names), Colab, neither."""
    told = os.environ.get(ROOT)
    root = Path(told).absolute() if told else Path("/kaggle")
    # First Kaggle: its image is built on Colab's, so that it may have Colab's marks too.
    if told or "KAGGLE_KERNEL_RUN_TYPE" in os.environ or (root / "working").is_dir():
        return Workplace(root / "input", root / "working", "kaggle")
    if "COLAB_RELEASE_TAG" in os.environ:
        inputs = root / "input"  # kagglehub attaches data sets there
        return Workplace(inputs if inputs.is_dir() else None, Path("/content"), "colab")
    return Workplace(None, Path.cwd(), "none")


def default_runs(usual: str = "runs") -> Path:
    """Folder of the runs where no other is named: `usual`, on Kaggle `working/checkpoints`."""
    place = workplace()
    return place.runs if place.kind == "kaggle" else Path(usual)


def is_read_only(path: Path) -> bool:
    """Whether a path lies among the inputs, which are never written to."""
    inputs = workplace().inputs
    return inputs is not None and path.resolve().is_relative_to(inputs.resolve())


def earlier_run(name: str) -> Path | None:
    """Return the folder of a run to go on with: where runs are kept, else among the inputs.

    There it lies once the output of an earlier session was attached; the newest is taken.
    """
    here = workplace()
    if (here.runs / name / "recipe.yaml").is_file():
        return here.runs / name
    if here.inputs is None:
        return None
    patterns = (f"{levels}checkpoints/{name}/recipe.yaml" for levels in ("*/", "*/*/*/"))
    found = [file for pattern in patterns for file in here.inputs.glob(pattern)]
    newest = max(found, key=lambda file: file.stat().st_mtime, default=None)
    return None if newest is None else newest.parent


def bring_run(path: Path, runs: Path) -> Path:
    """Copy a run of an earlier session from the inputs to where runs are kept; return the copy.

    A copy that is there already is used as it is: it may have gone on. The copy appears whole or
    not at all.

    Raises:
        DataError: another run has its name.
        MachineError: no room, or no right to write.
    """
    target = runs / path.name
    if target.exists():
        if _identifier(target) != _identifier(path):
            raise DataError(f"{target} is another run than {path}; choose a folder with --runs")
        return target
    partial = runs / f".{path.name}.partial"
    try:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(path, partial, copy_function=shutil.copyfile, ignore=_links)
        for folder in (partial, *(p for p in partial.rglob("*") if p.is_dir())):
            folder.chmod(0o755)  # the inputs' folders are read-only, and so were their copies
        partial.rename(target)
    except (OSError, shutil.Error) as error:
        shutil.rmtree(partial, ignore_errors=True)
        why = getattr(error, "strerror", None) or "some files cannot be read"
        raise MachineError(
            f"cannot copy {path} to {target} ({why}); free space, or choose a folder with --runs"
        ) from None
    return target


def _links(folder: str, names: list[str]) -> set[str]:
    """Links are left behind: a run has none, and one would lead its writing elsewhere."""
    return {name for name in names if os.path.islink(os.path.join(folder, name))}


def _identifier(run: Path) -> object:
    try:
        return json.loads((run / "run.json").read_text(encoding="utf-8"))["identifier"]
    except (OSError, ValueError, KeyError, TypeError):
        return str(run)


def is_input(source: str) -> bool:
    """Whether a SOURCE means what is attached on Kaggle: `kaggle` or `kaggle:NAME`."""
    return source == "kaggle" or source.startswith("kaggle:")


def find_input(source: str, known: Known) -> Path:
    """Return the folder of the attached data set that `kaggle` or `kaggle:NAME` means.

    NAME is a part of its path below the inputs. A zip is unpacked into `working/data`, whole or
    not at all, and used as it is the next time; a folder goes before a zip.

    Raises:
        DataError: no such data set, or several; an archive that is damaged or dangerous.
        MachineError: no room to unpack.
        WordsError: an empty NAME.
    """
    name = source.partition(":")[2].strip().strip("/")
    if ":" in source and not name:
        raise WordsError("kaggle: wants a part of a data set's path; write kaggle:NAME, or kaggle")
    inputs = workplace().inputs
    if inputs is None or not inputs.is_dir():
        where = f"'{inputs}' is no folder" if inputs else "this is not Kaggle"
        raise DataError(
            f"--data {source}: {where}; give the path of your faces (./kaggle for a folder so "
            f"called), or set {ROOT} to a folder with input/ and working/"
        )
    finds = _Finds.below(inputs, known)
    for places in (finds.folders, finds.zips):
        chosen = _named(places, inputs, name)
        if len(chosen) > 1:
            listed = _listed(chosen, inputs)
            raise DataError(
                f"{len(chosen)} data sets below {inputs} could be meant: {listed}; say which: "
                "--data kaggle:NAME, with a part of its path"
            )
        if chosen:
            return chosen[0] if chosen[0].is_dir() else _opened(chosen[0], inputs, known)
    raise DataError(_none_there(inputs, name, finds))


@dataclass(frozen=True)
class _Finds:
    """What lies below the inputs: folders of a known layout, zips, what cannot be opened."""

    folders: Sequence[Path]
    zips: Sequence[Path]
    packed: Sequence[Path]
    whole: bool  # whether every folder was looked into

    @classmethod
    def below(cls, inputs: Path, known: Known) -> "_Finds":
        """Look into every folder, from the top; a data set is not looked into further."""
        search = _Search(inputs, known)
        folders = list(search.folders(inputs, 0))
        if not folders and not search.zips:  # a data set may itself be called `datasets`
            folders = [place for name in _MOUNTS if search.holds(place := inputs / name)]
        return cls(folders, search.zips, search.packed, search.left > 0)


class _Search:
    """One walk through the inputs."""

    def __init__(self, inputs: Path, known: Known) -> None:
        self.known, self.zips, self.packed = known, list[Path](), list[Path]()
        self.left = _MOST_FOLDERS
        self._real = os.path.realpath(inputs)
        self._seen: set[tuple[int, int]] = set()

    def folders(self, place: Path, depth: int, above: int = 1) -> Iterator[Path]:
        """Yield data sets below a folder; `above` levels still lead to the data sets' own."""
        if depth > _DEEPEST or self.left <= 0 or not self._new(place):
            return
        self.left -= 1
        if (place / "run.json").is_file():  # a run of ours holds pictures, and no data set
            return
        if above <= 0 and self.holds(place):
            yield place
            return
        for inside in self._inside(place, depth):
            levels = _MOUNTS.get(inside.name, 0) if depth == 0 else above - 1
            yield from self.folders(inside, depth + 1, levels)

    def _new(self, place: Path) -> bool:
        """Whether a folder was not seen before: both forms of a mount may show the same one."""
        try:
            status = place.stat()
        except OSError:
            return False
        known = (status.st_dev, status.st_ino)
        new = known not in self._seen
        self._seen.add(known)
        return new

    def holds(self, place: Path) -> bool:
        """Whether this is a data set of a known layout; what cannot be read is none."""
        try:
            return self.known(place)
        except (DataError, OSError):
            return False

    def _inside(self, place: Path, depth: int) -> list[Path]:
        """Folders in a folder, by name; its archives are noted.

        Links are followed where they stay inside the inputs, and at the top, where no data set but
        only whoever runs this can have put them.
        """
        try:
            with os.scandir(place) as entries:
                found = sorted((entry for entry in entries), key=lambda entry: entry.name)
        except OSError:
            return []
        folders = []
        for entry in found:
            suffix = os.path.splitext(entry.name)[1].lower()
            leads_out = depth > 0 and entry.is_symlink() and not self._within(entry.path)
            if entry.name[0] in "._" or leads_out:
                continue
            if entry.is_dir():
                folders.append(place / entry.name)
            elif suffix == ".zip":
                self.zips.append(place / entry.name)
            elif suffix in _PACKED:
                self.packed.append(place / entry.name)
        return folders

    def _within(self, path: str) -> bool:
        return os.path.realpath(path).startswith(self._real + os.sep)


def _named(places: Sequence[Path], inputs: Path, name: str) -> list[Path]:
    """Places whose path below the inputs has this part; whole folder names go before pieces."""
    if not name:
        return list(places)
    wanted = name.lower()
    paths = {place: place.relative_to(inputs).as_posix().lower() for place in places}
    whole = [place for place, path in paths.items() if f"/{wanted}/" in f"/{path}/"]
    return whole or [place for place, path in paths.items() if wanted in path]


def _opened(archive: Path, inputs: Path, known: Known) -> Path:
    """Unpack a zip, once, and return the folder of the data set in it."""
    parts = archive.relative_to(inputs).with_suffix("").parts
    name = re.sub(r"[^\w.-]+", "-", "-".join(parts)).strip("-.") or "data"
    folder = extract_dataset(archive, workplace().unpacked / name)
    if known(folder):
        return folder
    found = _Finds.below(folder, known).folders
    if len(found) == 1:
        return found[0]
    if found:
        raise DataError(
            f"{archive} holds {len(found)} data sets: {_listed(found, folder)}; name one by its "
            f"path below {folder}"
        )
    raise DataError(
        f"{archive} was unpacked into {folder} and holds no known layout; `adafer data check "
        f"{folder}` says what was looked for, --layout chooses"
    )


def _none_there(inputs: Path, name: str, finds: _Finds) -> str:
    """Say what was looked for and what is there instead."""
    there = [*finds.folders, *finds.zips]
    if name and there:
        listed = _listed(there, inputs)
        return f"no data set below {inputs} has {name!r} in its path; there is {listed}"
    sentence = f"no data set of a known layout and no zip below {inputs}"
    if finds.packed:
        sentence += f" ({_listed(finds.packed, inputs)} cannot be opened here: only zip can)"
    elif not finds.whole:
        sentence += f" among its first {_MOST_FOLDERS:,} folders"
    else:
        here = sorted(path.name for path in inputs.iterdir())
        sentence += f" (it holds {', '.join(here[:_SHOWN]) or 'nothing'})"
    return f"{sentence}; attach one (Add Input), or give its path with --layout"


def _listed(places: Sequence[Path], inputs: Path) -> str:
    shown = [ascii(p.relative_to(inputs).as_posix()).strip("'") for p in places[:_SHOWN]]
    rest = len(places) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")
