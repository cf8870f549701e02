"""Before a training: the data opened and the model built; nothing is written yet."""

import tempfile

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from adafer.data import DataSource, open_data
from adafer.data.batched import BatchedLoader
from adafer.data.dataset import FaceDataset
from adafer.data.files import SplitMissing
from adafer.data.label_noise import flipped
from adafer.data.leaks import find_leaks, settle_leaks, without_near_copies
from adafer.data.listing import Listing
from adafer.data.loader import Loader
from adafer.data.sampler import Part
from adafer.engine import hardware
from adafer.engine.batches import Batches
from adafer.engine.optim import in_phases
from adafer.engine.ranks import ALONE, Ranks
from adafer.engine.state import State
from adafer.errors import DataError, WordsError
from adafer.image import Preprocessing
from adafer.models import build, fill_published, preprocessing_for
from adafer.preparation import open_teacher
from adafer.progress import Watcher
from adafer.recipe import Recipe
from adafer.training import Training, fitted


def prepare_training(
    recipe: Recipe, watcher: Watcher, *, published: bool = True, ranks: Ranks = ALONE
) -> Training:
    """Open the data and build the model; nothing is written yet.

    Published weights are fetched only if `published` and if the recipe asks for them. Of several
    processes the first unpacks and downloads; the others find it done.
    """
    settings = recipe.data
    preprocessing = preprocessing_for(recipe.model, settings.img_size, settings.grey, settings.crop)
    with ranks.one_by_one():
        source = open_data(settings)
    recipe = fitted(recipe, source)
    train_faces = _faces(source.train, preprocessing, recipe, watcher)
    validation = _faces(source.validation, preprocessing, recipe, watcher)
    for note in (*train_faces.listing.notes, *validation.listing.notes):
        watcher.said(f"note: {note}")
    others = [validation, *_test_faces(source, preprocessing, recipe, watcher)]
    train_faces = _without_own_copies(train_faces, validation, watcher)
    leaks = find_leaks(train_faces, others)
    train_faces = settle_leaks(train_faces, leaks, recipe.data.leaks)
    if recipe.data.leaks == "drop-near":
        watcher.said("comparing train with validation and test, to find near copies")
        train_faces, leaks = without_near_copies(train_faces, leaks, others)
    for note in leaks.notes(recipe.data.leaks):
        watcher.said(f"note: {note}")
    if settings.label_noise:
        noisy = flipped(train_faces.listing, settings.label_noise, recipe.train.seed)
        train_faces = train_faces.relabelled(noisy)
        watcher.said(f"note: {noisy.notes[-1]}")
    _check_lengths(recipe, len(source.class_names))
    hardware.set_seed(recipe.train.seed, recipe.train.deterministic)
    model = build(recipe.model, len(source.class_names), preprocessing.size)
    with ranks.one_by_one():
        started_from = fill_published(model, recipe.model) if published else {}
    if started_from:
        watcher.said(f"weights of {started_from['backbone']} from {started_from['source']}")
    phases = in_phases(recipe.phases)
    state = State.create(model, recipe.train, phases)
    teacher = open_teacher(recipe, preprocessing, source.class_names, state.device)
    _check_batches(model, settings.batch_size, len(train_faces))
    return Training(
        recipe=recipe,
        source=source,
        preprocessing=preprocessing,
        train=train_faces,
        validation=validation,
        leaks=leaks,
        state=state,
        phases=phases,
        started_from=started_from,
        teacher=teacher,
        watcher=watcher,
        ranks=ranks,
    )


def _faces(
    listing: Listing, preprocessing: Preprocessing, recipe: Recipe, watcher: Watcher
) -> FaceDataset:
    data = recipe.data
    faces = FaceDataset(listing, preprocessing, data.max_bad, data.cache, watcher.reading)
    watcher.rest()
    if faces.pixels.on_disk:
        watcher.said(
            f"note: {faces.pixels.nbytes / 1e9:.1f} GB of faces of {listing.split} are kept in a "
            f"temporary file in {tempfile.gettempdir()} (--cache)"
        )
    return faces


def _without_own_copies(
    train: FaceDataset, validation: FaceDataset, watcher: Watcher
) -> FaceDataset:
    """Leave copies of the validation faces out of train where the project itself drew those."""
    if not validation.listing.carved:
        return train
    copies = find_leaks(train, [validation])
    if copies.train_indices:
        watcher.said(f"note: {copies.sentence()}; they are left out, as validation was drawn here")
    return settle_leaks(train, copies, "drop")


def _test_faces(
    source: DataSource, preprocessing: Preprocessing, recipe: Recipe, watcher: Watcher
) -> list[FaceDataset]:
    """Return the test faces, to be compared with train and for nothing else; [] without any."""
    try:
        return [_faces(source.test(), preprocessing, recipe, watcher)]
    except SplitMissing:
        return []
    except DataError as error:
        watcher.said(f"note: train was not compared with test: {error}")
        return []


def _check_batches(model: nn.Module, batch_size: int, faces: int) -> None:
    """Refuse what a batch norm that learns cannot: the statistics of a single face."""
    norms = (part for part in model.modules() if isinstance(part, BatchNorm))
    if min(batch_size, faces) == 1 and any(norm.training for norm in norms):
        raise WordsError(
            "BatchNorm cannot learn from a batch of one face; use --batch-size 2 or more, or "
            "gather gradients with --accumulate"
        )


def _check_lengths(recipe: Recipe, classes: int) -> None:
    weights = getattr(recipe.loss, "ponder_class_weights", ())
    if weights and len(weights) != classes:
        raise WordsError(f"--ponder-class-weights has {len(weights)} values for {classes} classes")


def training_batches(training: Training) -> Batches:
    """Return the training faces as batches, varied one by one or all at once on the device."""
    data, seed = training.recipe.data, training.recipe.train.seed
    part = Part(rank=training.ranks.rank, count=training.ranks.count)
    if data.augment_engine == "batch":
        device = training.state.device
        return BatchedLoader(training.train, data, seed=seed, device=device, part=part)
    return Loader(training.train, data, seed=seed, train=True, part=part)
