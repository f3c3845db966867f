"""A GenTL producer loaded into this process, its interfaces and its cameras.

`harvesters.core.Harvester` is not used for this: a producer that does not load is only a line in
its log, and its `update()` destroys every camera that is open. Here loading raises, and looking
again leaves open cameras alone. A producer may be loaded only once in a process, so cameras
share it.
"""

import os
import threading
from pathlib import Path
from typing import Any

from genicam import gentl
from harvesters.core import Device, Interface, Producer, System

from inspector.camera.found_camera import Access, FoundCamera
from inspector.camera.gentl_errors import GENTL_ERRORS, reason
from inspector.errors import ConfigError, DeviceError

ADDRESSES_VARIABLE = "INSPECTOR_GEV_ADDRESSES"
OWN_PRODUCER = Path(__file__).parent / "producer" / "inspector_gev.cti"

_OWN_VENDOR = "inspector"
_IP_ADDRESS, _MAC_ADDRESS = 1000, 1001  # DEVICE_INFO commands of our producer
_SCAN_MS = 1000
_MOST_ADDRESSES = 16  # our producer takes no more; an interface that is open already stays
_ACCESS = {1: Access.FREE, 2: Access.FREE, 3: Access.UNREACHABLE, 4: Access.IN_USE}
_ACCESS |= {5: Access.OURS, 6: Access.OURS}

_loaded: dict[Path, "GenTLSystem"] = {}
_lock = threading.Lock()


def acquire_system(producer: str | None) -> "GenTLSystem":
    """Load a producer (None: our own), or share the one that is loaded. Raises ConfigError."""
    path = Path(producer).expanduser().resolve() if producer else OWN_PRODUCER
    if not path.exists():
        build = f": build it with `make -C {path.parent}`" if path == OWN_PRODUCER else ""
        raise ConfigError(f"GenTL producer {path} does not exist{build}")
    with _lock:
        system = _loaded.get(path)
        if system is None:
            system = _loaded[path] = GenTLSystem(path)
        system.users += 1
        return system


def release_system(system: "GenTLSystem") -> None:
    """Give it back; the last one unloads the producer."""
    with _lock:
        system.users -= 1
        if system.users == 0:
            del _loaded[system.path]
            system.close()


class GenTLSystem:
    """Use `acquire_system`. Looking for cameras is safe from every thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.users = 0
        self._scan_lock = threading.Lock()
        self._interfaces: dict[str, Any] = {}
        self._infos: dict[tuple[str, str], Any] = {}
        self._producer = Producer(module=gentl.GenTLProducer.create_producer())
        try:
            self._producer.module.open(str(path))
        except GENTL_ERRORS as error:
            raise ConfigError(f"GenTL producer {path} does not load: {reason(error)}") from error
        try:
            raw = self._producer.module.create_system()
            raw.open()
            self._system = System(module=raw, parent=self._producer)
            self.is_own = raw.vendor == _OWN_VENDOR
        except GENTL_ERRORS as error:
            self._producer.module.close()
            raise ConfigError(f"GenTL producer {path} does not start: {reason(error)}") from error

    def close(self) -> None:
        """Unload. Every device must be closed."""
        self._infos.clear()
        for interface in self._interfaces.values():
            if interface.is_open():
                interface.module.close()
        self._interfaces.clear()
        self._system.module.close()
        self._producer.module.close()

    def look(self, *addresses: str | None) -> list[FoundCamera]:
        """Ask every network, and our `addresses` too, which cameras there are (0.5 s a network).

        The cameras at `addresses` come first; one that is seen twice is listed once. Raises
        DeviceError.
        """
        asked = [address for address in addresses if address]
        with self._scan_lock:
            try:
                self._update_interfaces(asked)
                return self._scan()
            except GENTL_ERRORS as error:
                raise DeviceError(f"looking for cameras failed: {reason(error)}") from error

    def look_at(self, address: str) -> list[FoundCamera]:
        """Ask one address only, which takes no time where a camera answers. Raises DeviceError."""
        with self._scan_lock:
            try:
                self._update_interfaces([address])
                interface = self._interfaces.get(f"address:{address}")
                return self._scan_interface(interface) if interface is not None else []
            except GENTL_ERRORS as error:
                raise DeviceError(f"asking {address} failed: {reason(error)}") from error

    def open_device(self, camera: FoundCamera) -> Any:
        """Take control; return the harvesters device. Raises what the producer raises."""
        info = self._infos[camera.interface, camera.id]
        raw = info.create_device()
        raw.open(gentl.DEVICE_ACCESS_FLAGS_LIST.DEVICE_ACCESS_EXCLUSIVE)
        return Device(module=raw, parent=self._interfaces[camera.interface])

    def _update_interfaces(self, addresses: list[str]) -> None:
        if addresses:
            known = [each for each in os.environ.get(ADDRESSES_VARIABLE, "").split(",") if each]
            newest_first = list(dict.fromkeys(addresses + known))
            os.environ[ADDRESSES_VARIABLE] = ",".join(newest_first[:_MOST_ADDRESSES])
        self._system.update_interface_info_list(_SCAN_MS)
        for info in self._system.interface_info_list:
            if info.id_ not in self._interfaces:
                raw = info.create_interface()
                raw.open()
                self._interfaces[info.id_] = Interface(module=raw, parent=self._system)

    def _scan(self) -> list[FoundCamera]:
        found: dict[str, FoundCamera] = {}
        for interface in self._interfaces.values():
            for camera in self._scan_interface(interface):
                found.setdefault(camera.id, camera)
        return list(found.values())

    def _scan_interface(self, interface: Any) -> list[FoundCamera]:
        interface.update_device_info_list(_SCAN_MS)
        cameras = []
        for info in interface.device_info_list:
            camera = self._describe(info, interface.id_)
            self._infos[camera.interface, camera.id] = info
            cameras.append(camera)
        return cameras

    def _describe(self, info: Any, interface: str) -> FoundCamera:
        def text(key: str) -> str:
            try:
                return str(getattr(info, key))
            except GENTL_ERRORS:
                return ""  # the producer does not know this key

        def own(command: int) -> str:
            return str(info.get_info_string(command)) if self.is_own else ""

        try:
            access = _ACCESS.get(int(info.access_status), Access.UNKNOWN)
        except GENTL_ERRORS:
            access = Access.UNKNOWN
        return FoundCamera(
            id=str(info.id_),
            vendor=text("vendor"),
            model=text("model"),
            serial=text("serial_number"),
            user_defined_name=text("user_defined_name"),
            address=own(_IP_ADDRESS),
            mac=own(_MAC_ADDRESS),
            access=access,
            interface=interface,
        )
