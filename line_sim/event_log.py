"""The event log: one JSON object a line, for people, tests and live views.

Every line has `event` and `at_ns` (CLOCK_MONOTONIC when it was written). Other `*_ns` keys are
CLOCK_MONOTONIC too, `*_utc_ns` UTC. In the order in which they appear first:

- ready: scenario, seed, parts, defective, base, broker, camera_address, camera_serial, width_px,
  height_px, deadline_ms, mode (fast, realtime): the camera answers, the broker took our subscriptions
- connection: connected
- state, availability, fault: the payload, received_ns
- start: (none): the cell is ready, the belt starts
- belt: running, encoder_ticks
- trigger: part_id, number, defect (null: good), picture, frame (a frame will come), trigger_ns,
  trigger_utc_ns, encoder_ticks, lag_ms (behind simulated time)
- anomaly: sensor, value, unit, urgency, seq, part_number: the scenario made this reading abnormal
- verdict: verdict_id, part_id, seq, decision, action, reason, cause, missing, confidence, p_defect
  (null: unknown), failsafe, latency_ms, received_ns, since_trigger_ms, in_time, stale, defect
- action: part_id, action, by (verdict, failsafe): what the PLC does with the part
- ack: verdict_id, part_id, action: published
- left: part_id, defect, lane (PASS, REJECT, HOLD), told
- late: part_id, deadline_ns, action: no verdict by the deadline
- redelivered: verdict_id: the same message once more
- sequence_gap: seq, text
- disturbance: kind, part_number, service, for_s, delay_ms, began (true: it begins, false: it is over)
- violation: topic, part_id, text: against docs/mqtt.md
- undelivered, explanation: the payload, received_ns
- emergency: verdict_id, part_id, cause, received_ns, since_urgent_ms (null: no sensor said so)
- emergency_missed: deadline_ns
- reset: source, attempt: RESET published
- reset_unanswered: attempts: the state stays latched; the belt starts all the same
- camera: serial, alive, the camera's counters; one line a camera
- summary: the fields of `score.Score`, interrupted, exit_status; always last
"""

import json
import os
import sys
from typing import TextIO

from inspector.clock import Clock
from inspector.errors import ConfigError, StoreError
from line_sim.plc_outputs import Fields


class EventLog:
    """Writes to stdout ("-"), an open file descriptor (a number) or a file. One thread."""

    def __init__(self, target: str, clock: Clock) -> None:
        self._clock = clock
        self._owned = target != "-"
        try:
            if target == "-":
                self._stream: TextIO = sys.stdout
            elif target.isdigit():
                self._stream = os.fdopen(int(target), "w", encoding="ascii")
            else:
                self._stream = open(target, "w", encoding="ascii")  # noqa: SIM115 - closed by close()
        except OSError as error:
            raise ConfigError(f"--events {target}: {error.strerror}") from error

    def emit(self, event: str, fields: Fields) -> None:
        """Write one line and flush. Raises StoreError when the reader is gone or the disk full."""
        line = json.dumps({"event": event, "at_ns": self._clock.now_ns(), **fields})
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError) as error:
            raise StoreError(f"the event log cannot be written: {error}") from error

    def close(self) -> None:
        if not self._owned:
            return
        try:
            self._stream.close()
        except OSError as error:
            raise StoreError(f"the event log cannot be written: {error}") from error
