"""From which score the site's model reports a label: what an explanation tells beside the score."""

from collections.abc import Mapping

from inspector.config import Site
from inspector.config_load import model_folder
from inspector.detect.model.manifest import Manifest, load_manifest
from inspector.errors import ConfigError, ModelError

_WITH_A_MAP = ("anomaly_map", "anomalib")


def label_thresholds(site: Site) -> Mapping[str, float]:
    """Return the threshold of each label; none where the model cannot be read, which the detector tells."""
    try:
        return thresholds_in(load_manifest(model_folder(site)))
    except (ConfigError, ModelError):
        return {}


def thresholds_in(manifest: Manifest) -> Mapping[str, float]:
    """Return the threshold of each label. One that a map and a head both have, by different ones, is out."""
    least, head = manifest.thresholds["box"], manifest.head
    of_map = dict.fromkeys(manifest.labels, least) if manifest.decode in _WITH_A_MAP else {}
    if head is None:
        return of_map
    of_head = dict.fromkeys(head.labels, least if head.box_threshold is None else head.box_threshold)
    told = {**of_map, **of_head}
    return {label: told[label] for label in told if of_map.get(label, told[label]) == told[label]}
