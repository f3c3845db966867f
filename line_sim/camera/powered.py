"""A camera while it has power: its sockets and its three threads."""

import struct
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from inspector.errors import InvariantError
from line_sim.camera.acquisition import Acquisition
from line_sim.camera.config import VirtualCameraConfig
from line_sim.camera.control_server import ControlServer
from line_sim.camera.device import Device
from line_sim.camera.device_clock import DeviceClock
from line_sim.camera.event import Event
from line_sim.camera.faults import FaultKnobs
from line_sim.camera.gvcp import ResendRequest
from line_sim.camera.gvcp_messages import EventMessage
from line_sim.camera.gvsp import block_id_of
from line_sim.camera.inputs import Inputs
from line_sim.camera.link import Link
from line_sim.camera.message_channel import MessageChannel
from line_sim.camera.source import FrameSource
from line_sim.camera.statistics import Counters
from line_sim.camera.stream import Stream

_JOIN_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """What outlives the power: the device's memory is reset by `Powered.power_off`."""

    device: Device
    clock: DeviceClock
    source: FrameSource
    counters: Counters
    inputs: Inputs
    link: Link
    knobs: Callable[[], FaultKnobs]


class Powered:
    """Serves from `start` to `power_off`. Raises DeviceError where the address is taken.

    Made and started are two steps: a command is executed only when what it sets off can be found
    from the device, else an acknowledged AcquisitionStart could come to nothing.
    """

    def __init__(self, config: VirtualCameraConfig, wiring: Wiring) -> None:
        self._wiring = wiring
        device, counters, link = wiring.device, wiring.counters, wiring.link
        with ExitStack() as unless_powered:
            self.stream = Stream(config, counters, link)
            unless_powered.callback(self.stream.close)
            self.stream.set_faults(wiring.knobs())
            self._server = ControlServer(config.address, device, counters, link=link, knobs=wiring.knobs)
            unless_powered.callback(self._server.close)
            self._messages = MessageChannel(
                config.address, device.message_settings, wiring.clock, link, counters
            )
            unless_powered.pop_all()
        device.set_stream_source_port(self.stream.source_port)
        device.set_message_source_port(self._messages.source_port)
        self.acquisition = Acquisition(
            config=config,
            device=device,
            stream=self.stream,
            source=wiring.source,
            clock=wiring.clock,
            counters=counters,
            inputs=wiring.inputs,
            notify=self.notify,
        )
        runs = {
            "control": self._server.run,
            "acquisition": self.acquisition.run,
            "messages": self._messages.run,
        }
        self._threads = [
            threading.Thread(target=run, name=f"camera {config.serial} {name}", daemon=True)
            for name, run in runs.items()
        ]

    def start(self) -> None:
        """Serve; commands that came since the sockets were opened are answered now."""
        for thread in self._threads:
            thread.start()

    @property
    def alive(self) -> bool:
        return all(thread.is_alive() for thread in self._threads)

    def notify(self, event: Event, host_ns: int, frame_id: int) -> None:
        """Send an event on the message channel at that host time, if it is switched on."""
        device = self._wiring.device
        if not device.event_enabled(event):
            return
        extended = device.message_settings().extended_ids
        message = EventMessage(
            event_id=event.event_id,
            block_id=block_id_of(frame_id, extended=extended) if frame_id else 0,
            ticks=self._wiring.clock.ticks_at(host_ns),
            data=struct.pack(">Q", frame_id) if event.with_frame else b"",
        )
        self._messages.post(message, host_ns)

    def action(self, at_ns: int | None) -> None:
        """Take a trigger from an action command, at a host time or now."""
        due_ns = self._wiring.clock.now_ns() if at_ns is None else at_ns
        self.notify(Event.ACTION1, due_ns, 0)
        self.acquisition.pulse("Action1", due_ns)

    def fire_test_packet(self) -> None:
        self.stream.send_test_packet(self._wiring.device.stream_settings())

    def resend(self, request: ResendRequest) -> None:
        self.stream.resend(request, self._wiring.device.stream_settings())

    def power_off(self) -> None:
        """End the threads, close the sockets, forget the state."""
        self._server.stop()
        self._messages.stop()
        self.acquisition.close()
        for thread in self._threads:
            thread.join(_JOIN_TIMEOUT_S)
            if thread.is_alive():
                raise InvariantError(f"{thread.name} does not end; does its frame source hang?")
        self._server.close()
        self._messages.close()
        self.stream.close()
        self._wiring.device.power_off()
