"""What the benchmarks of one-class detection learn from and are scored on.

piped: each paper by its own split. cookie: its own split, the marked training defects as further
defects. hazelnut: its own split. ball_screw: frames of one fixed position each, so that a position is a
product: learned from the first half in time of its good frames, scored on its later good frames and
its defects. All defects there are later than all good frames (more dirt and oil), so image AUROC flatters.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_POSITION: Final = slice(-17, -7)  # 01_200828110014_277500_315_crop_2: the position's two numbers
_SUFFIXES: Final = (".png", ".jpg")


@dataclass(frozen=True, slots=True)
class OneClassSet:
    """`masks`: a folder with STEM.png of defects; those without one are left out of pixel figures."""

    name: str
    train: Sequence[Path]
    good: Sequence[Path]
    defect: Sequence[Path]
    masks: Path

    @property
    def family(self) -> str:
        return self.name.partition("/")[0]


def all_sets(data: Path) -> list[OneClassSet]:
    """Every set under `data`, in order of name."""
    sets = [
        _own_split("hazelnut", data / "hazelnut"),
        _cookie(data / "cookie"),
        *_ball_screw(data / "ball_screw"),
    ]
    sets += [_own_split(f"piped/{folder.name}", folder) for folder in sorted((data / "piped").glob("PA_*"))]
    return sorted(sets, key=lambda each: each.name)


def _own_split(name: str, folder: Path) -> OneClassSet:
    train, good, defect = (_images(folder / part) for part in ("train_good", "test_good", "test_defect"))
    return OneClassSet(name, train, good, defect, folder / "masks")


def _cookie(folder: Path) -> OneClassSet:
    split = _own_split("cookie", folder)
    defect = [*split.defect, *_images(folder / "train_defect")]
    return OneClassSet(split.name, split.train, split.good, defect, split.masks)


def _ball_screw(folder: Path) -> list[OneClassSet]:
    good: dict[str, list[Path]] = defaultdict(list)
    defect: dict[str, list[Path]] = defaultdict(list)
    for path in _images(folder / "train_good"):
        good[path.stem[_POSITION]].append(path)
    for part in ("test_defect", "train_defect"):
        for path in _images(folder / part):
            defect[path.stem[_POSITION]].append(path)
    sets = []
    for position, paths in sorted(good.items()):
        if position in defect:
            half = len(paths) // 2
            sets.append(
                OneClassSet(
                    f"ball_screw/{position}", paths[:half], paths[half:], defect[position], folder / "masks"
                )
            )
    return sets


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in _SUFFIXES)
