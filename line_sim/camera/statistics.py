"""Counters of the virtual camera, written by its threads and read by anybody."""

import threading
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraStatistics:
    """A snapshot. All counters only grow while the camera lives."""

    frames_sent: int = 0
    frames_dropped: int = 0  # by the fault knob `drop_frames`
    packets_sent: int = 0  # GVSP, resent ones not included
    packets_lost: int = 0  # by the fault knob `loss`, or while the cable was out
    packets_duplicated: int = 0  # these five by the fault knobs of their names
    packets_reordered: int = 0
    packets_delayed: int = 0
    packets_truncated: int = 0
    packets_malformed: int = 0
    resends_ignored: int = 0  # by the fault knob `no_resend`
    send_errors: int = 0  # GVSP packets that the host refused to send
    resend_requests: int = 0
    packets_resent: int = 0
    packets_unavailable: int = 0  # asked again, but not in the ring any more
    pulses: int = 0  # edges on a line, software triggers included
    pulses_ignored: int = 0  # not armed: stopped, TriggerMode Off, or another TriggerSource
    triggers_missed: int = 0  # armed, but during an exposure or with the queue full
    source_errors: int = 0  # the frame source had no picture
    gvcp_commands: int = 0
    gvcp_refused: int = 0  # answered with an error status
    gvcp_malformed: int = 0  # dropped without an answer
    gvcp_unanswerable: int = 0  # the answer could not be sent
    broadcasts_unheard: int = 0  # 1 where another program has the subnet's broadcast for itself
    heartbeats_lost: int = 0  # control taken back from a silent application
    gvcp_muted: int = 0  # answers kept back by the fault knob `mute_control`, or the cable
    pending_acks: int = 0
    actions: int = 0  # ACTION_CMD meant for this device
    events_sent: int = 0
    events_resent: int = 0
    events_lost: int = 0  # never acknowledged, or more than the queue takes
    reboots: int = 0


class Counters:
    """Thread-safe. `add` takes the name of a `CameraStatistics` field."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values = {field.name: 0 for field in fields(CameraStatistics)}

    def add(self, name: str, amount: int = 1) -> None:
        with self._lock:
            self._values[name] += amount

    def snapshot(self) -> CameraStatistics:
        with self._lock:
            return CameraStatistics(**self._values)
