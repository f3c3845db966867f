"""More good parts for a model that was taught before: in seconds, without its first images."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np

from inspector.detect.images import common_layout, list_parts
from inspector.detect.model.manifest import load_manifest
from inspector.detect.picture_drift import more_pictures
from inspector.detect.teaching.features import Trunk
from inspector.detect.teaching.gather import Gather, first_of_each
from inspector.detect.teaching.held_out import Progress
from inspector.detect.teaching.memory import Memory, features_sha256, load_memory
from inspector.detect.teaching.teach import MOST_IMAGES, Taught, learn, made_up_copies, write
from inspector.errors import ConfigError, ModelError


def add_good(
    folder: Path,
    good_dir: Path,
    defect_dir: Path | None,
    backbone_path: Path,
    *,
    threads: int = 2,
    command: str = "",
    progress: Progress = lambda _what, _done, _total: None,
) -> Taught:
    """Add good parts, and defects where given, to the model in `folder`, and write it atomically.

    The scorer, its limit and the drift reference come out as if all images had been taught at once, but for
    two things that stay as first taught: the projection of the features, and a discriminator, or that there
    is none although there are FEWEST_TO_DISCRIMINATE parts now. What balances the map (balance.py) saw each
    image beside those that were there then. Images that the model knows count once.
    Raises ConfigError when there is nothing new or too much, ModelError for a model that nothing can be
    added to.
    """
    manifest = load_manifest(folder)
    memory = load_memory(folder, manifest.onnx.sha256)
    about = memory.about
    trunk = Trunk(
        about.layout, about.network_width, about.network_height, backbone_path,
        coarse=memory.projection.coarse is not None,
    )  # fmt: skip
    if features_sha256(trunk) != about.features_sha256:
        raise ModelError(
            f"{folder}: was taught by another version, with other features; teach from all images at once"
        )
    gather = Gather(trunk, threads, progress)
    good = list_parts(good_dir)
    common_layout(good, about.layout)
    read = gather.features(good, "Reading good parts", memory.projection)
    new = first_of_each(read.hashes, memory.good_hashes)
    left_out = len(good) - len(new)
    good = [good[index] for index in new]
    if len(memory.good) + len(good) > MOST_IMAGES:
        raise ConfigError(
            f"{good_dir}: {len(good)} new images and the {len(memory.good)} of the model are more than "
            f"{MOST_IMAGES}; choose some, and teach from these at once"
        )
    if good:
        memory = replace(
            _with_made_up(memory, gather, good),
            good=np.concatenate([memory.good, read.features[new].astype(np.float16)]),
            good_hashes=(*memory.good_hashes, *(read.hashes[index] for index in new)),
        )
    check = good, memory.good[len(memory.good) - len(good) :]
    defects: list[Path] = []
    if defect_dir is not None:
        memory, defects = _with_defects(memory, gather, list_parts(defect_dir))
    if not good and not defects:
        raise ConfigError(
            f"{good_dir}: {left_out} images, which the model knows already; nothing was changed"
        )
    if not good:
        check = defects, memory.defect[len(memory.defect) - len(defects) :]
    learned = learn(memory, discriminate=False, progress=progress)
    pictures = manifest.pictures
    if pictures is not None:
        pictures = more_pictures(pictures, [read.pictures[index] for index in new])
    made, reset = manifest.how_made, manifest.calibration != about.calibration
    manifest = msgspec.structs.replace(
        manifest,
        calibration=learned.calibration,
        metrics=learned.metrics,
        pictures=pictures,
        how_made=msgspec.structs.replace(
            made,
            command="; ".join(part for part in (made.command, command) if part),
            made_utc=datetime.now(UTC).isoformat(timespec="seconds"),
            good_images=len(memory.good),
            defect_images=len(memory.defect),
        ),
    )
    taught = write(folder, manifest, learned, trunk, check=check, progress=progress, left_out=left_out)
    return replace(taught, threshold_reset=reset)


def _with_made_up(memory: Memory, gather: Gather, good: list[Path]) -> Memory:
    """With as many of each image as there would be had all been taught at once, and with their detail."""
    first = len(memory.good)
    copies = made_up_copies(first + len(good), discriminate=memory.judges is not None)
    if memory.judges is not None:  # those they have learned from are gone
        more = gather.synthetic(good, memory.projection, copies=copies, first=first)
        return replace(memory, synthetic=more)
    old = memory.synthetic
    number = np.arange(len(old.origin)) - np.searchsorted(old.origin, old.origin)  # among those of its image
    kept = np.flatnonzero(number < copies)
    old = old.take(kept)
    if memory.detail is None or memory.rehearsal is None:
        more = gather.synthetic(good, memory.projection, copies=copies, first=first)
        return replace(memory, synthetic=old + more)
    detail = memory.detail + gather.detail(good)
    more, rehearsed = gather.rehearsed(good, memory.projection, detail, copies=copies, first=first)
    rehearsal = memory.rehearsal.take(kept) + rehearsed
    return replace(memory, synthetic=old + more, detail=detail, rehearsal=rehearsal)


def _with_defects(memory: Memory, gather: Gather, paths: list[Path]) -> tuple[Memory, list[Path]]:
    """With those that are new, and which these are."""
    read = gather.features(paths, "Reading defects", memory.projection)
    new = first_of_each(read.hashes, memory.defect_hashes)
    memory = replace(
        memory,
        defect=np.concatenate([memory.defect, read.features[new].astype(np.float16)]),
        defect_hashes=(*memory.defect_hashes, *(read.hashes[index] for index in new)),
    )
    return memory, [paths[index] for index in new]
