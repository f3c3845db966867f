"""Every mistake in a configuration file is one line that names file, line and key."""

from pathlib import Path

import pytest
import yaml

from inspector.config_load import load_site, model_folder
from inspector.errors import ConfigError

CAMERA = "id: cam1\nselect: {serial: A1}\nsettings: {ExposureTime: 500.0}\n"
SITE = """\
base_topic: acme/plant1/hall1/line1/cell1
cameras: [cam1.yaml]
detector:
  model: part
sensors:
  - {id: vib, kind: vibration, unit: mm/s, min_value: 0.0, max_value: 10.0}
"""


def write(folder: Path, site: str = SITE, camera: str = CAMERA) -> Path:
    (folder / "cam1.yaml").write_text(camera)
    path = folder / "site.yaml"
    path.write_text(site)
    return path


def test_a_good_site_loads_and_its_hash_follows_its_content(tmp_path: Path) -> None:
    first = load_site(write(tmp_path))
    same = load_site(write(tmp_path, "# a comment\n" + SITE))
    other = load_site(write(tmp_path, camera=CAMERA.replace("500.0", "501.0")))
    assert first.cameras[0].settings == {"ExposureTime": 500.0}
    assert first.config_sha256 == same.config_sha256 != other.config_sha256


@pytest.mark.parametrize(
    ("site", "expected"),
    [
        (SITE + "colour: red\n", "site.yaml:7: colour: there is no such key"),
        (
            SITE.replace("  model: part", "  modell: part"),
            "site.yaml:4: detector.modell: there is no such key",
        ),
        (SITE.replace("  model: part", "  threads: 2"), "site.yaml:3: detector.model: this key is needed"),
        (
            SITE.replace("  model: part", "  model: part\n  engine: onnx"),
            "site.yaml:5: detector.engine: must be one of",
        ),
        (SITE.replace("  model: part", "  model: part\n  threads: two"), "site.yaml:5: detector.threads:"),
        (SITE.replace("min_value: 0.0", "min_value: zero"), "site.yaml:6: sensors.0.min_value:"),
        (SITE.replace("acme/plant1", "acme/+/#"), "site.yaml:1: base_topic:"),
        ("cameras: [", "is not YAML"),
        ("", "the file:"),
        (SITE.replace("cam1.yaml", "cam2.yaml"), "cam2.yaml: cannot be read: No such file"),
        (SITE.replace("[cam1.yaml]", "[cam1.yaml, cam1.yaml]"), "two camera files have the same id"),
        (SITE + "broker: {password: hunter2}\n", "site.yaml:7: broker.password: there is no such key"),
        (
            SITE + "decision: {deadline_ms: 20, delivery_margin_ms: 30}\n",
            "delivery_margin_ms must be shorter than deadline_ms",
        ),
    ],
)
def test_a_mistake_is_one_clear_line(tmp_path: Path, site: str, expected: str) -> None:
    path = write(tmp_path, site)
    with pytest.raises(ConfigError) as caught:
        load_site(path)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_camera_that_is_not_named_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cam1.yaml:2: select: name the camera by serial"):
        load_site(write(tmp_path, camera="id: cam1\nselect: {}\n"))


def test_a_secret_in_the_error_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_site(write(tmp_path, SITE + "broker: {password: hunter2}\n"))
    assert "hunter2" not in str(caught.value)


def test_a_model_is_found_by_name_and_its_absence_says_what_to_do(tmp_path: Path) -> None:
    site = load_site(write(tmp_path))
    with pytest.raises(ConfigError, match="inspector teach"):
        model_folder(site)
    folder = tmp_path / "models" / "part"
    folder.mkdir(parents=True)
    (folder / "manifest.yaml").write_text("")
    assert model_folder(site) == folder


def test_the_configurations_that_ship_are_valid() -> None:
    root = Path(__file__).parents[2]
    site = load_site(root / "deploy" / "demo" / "site.yaml")
    assert {sensor.id for sensor in site.site.sensors} >= {"vibration1", "estop1"}
    for path in (root / "camera_configs").glob("*.yaml"):
        assert "id" in yaml.safe_load(path.read_text())


def test_the_brokers_files_are_relative_to_the_site_file(tmp_path: Path) -> None:
    tls = "{ca_file: certs/ca.crt, cert_file: /etc/cell.crt}"
    site = load_site(write(tmp_path, SITE + f"broker: {{password_file: secret, tls: {tls}}}\n")).site
    assert site.broker.password_file == tmp_path / "secret"
    assert site.broker.tls is not None
    assert site.broker.tls.ca_file == tmp_path / "certs" / "ca.crt"
    assert site.broker.tls.cert_file == Path("/etc/cell.crt")
    assert site.broker.tls.key_file is None


SENSOR = "  - {id: vib, kind: vibration, unit: mm/s, min_value: 0.0, max_value: 10.0"


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("rule: {warn_rate: 1.0}", "a warn limit and its alarm limit come together"),
        ("rule: {warn_rate: 2.0, alarm_rate: 1.0}", "the alarm limit must lie beyond the warn limit"),
        ("heartbeat_s: 0.0", "heartbeat_s"),
        ("sparkplug: {group_id: a/b, edge_node_id: n, metric: m}", "group_id"),
        (
            "curve_model: c.json, sparkplug: {group_id: a, edge_node_id: n, metric: m}",
            "give sparkplug or curve_model, not both",
        ),
    ],
)
def test_a_sensors_mistake_is_one_clear_line(tmp_path: Path, keys: str, expected: str) -> None:
    path = write(tmp_path, SITE.replace(SENSOR, f"{SENSOR}, {keys}"))
    with pytest.raises(ConfigError, match=r"site\.yaml:6: ") as caught:
        load_site(path)
    assert expected in str(caught.value)
