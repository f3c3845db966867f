"""One MQTT connection that comes back by itself, and never holds up who publishes.

Threads: `publish` is called by one thread (the caller's) and writes to the socket right there, without
waking another thread first. The network thread connects, reads, keeps alive and reconnects. paho's client
is not safe for two threads that write, so one lock is around all that touches it; it is never held over a
blocking call.
"""

import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable

import msgspec
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTv5, MQTTv311
from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from inspector.clock import Clock
from inspector.config import BrokerConfig
from inspector.plc.backoff import Backoff
from inspector.plc.client import (
    CONNECT_TIMEOUT_S,
    PROTOCOLS,
    SESSION_EXPIRY_S,
    Access,
    build_client,
    open_connection,
    socket_of,
)
from inspector.plc.events import Acked, Connected, LinkEvent, Lost, SubscriptionRefused, Will
from inspector.plc.inbox import Token
from inspector.plc.login_errors import (
    HungUpError,
    explain_answer,
    explain_connect_error,
    explain_flapping,
    explain_hang_up,
    explain_refusal,
)
from inspector.plc.packet_stream import Publication
from inspector.plc.publish_packet import publish_packet
from inspector.plc.waker import Waker

TICK_MS = 50
HELD_S = 1.0  # a connection that lasted so long resets the backoff
SHORT_S = 5.0  # so many as `FLAPS` connections in a row that were shorter are no accident
FLAPS = 3
DEFAULT_WINDOW = 20  # what common brokers take of unacknowledged messages when they do not say
_FIRST_MID, _LAST_MID = 0x8000, 0xFFFF

OnMessage = Callable[[str, bytes, bool, int, Token | None], None]
"""topic, payload, retained, received_ns, what to acknowledge; called in the network thread."""


class Connection:
    """See the module. `on_wake`, `on_message` and `will` are called in the network thread."""

    def __init__(
        self,
        config: BrokerConfig,
        access: Access,
        *,
        subscriptions: tuple[str, ...],
        will: Callable[[], Will],
        clock: Clock,
        on_message: OnMessage,
        on_wake: Callable[[], None],
        persistent: bool = True,
    ) -> None:
        self._config = config
        self._access = access
        self._subscriptions = subscriptions
        self._will = will
        self._session_expiry_s = SESSION_EXPIRY_S if persistent else 0
        self._clock = clock
        self._on_message = on_message
        self._on_wake = on_wake
        self._lock = threading.Lock()
        self._client: Client | None = None  # set only while connected
        self._generation = 0
        self._mid = _LAST_MID
        self._events: deque[LinkEvent] = deque(maxlen=4096)
        self._waker = Waker()
        self._closing = threading.Event()
        self._cut = 0  # the generation to be cut
        self._woken = False
        self._failure = ""
        self._refused_v5 = 0
        self.wake_at_ns: int | None = None  # set by the caller: when it wants `on_wake`
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)

    # -- the caller's thread ---------------------------------------------------------------------

    def start(self) -> None:
        """Start connecting; returns at once."""
        self._thread.start()

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted us and the connection is not known to be lost."""
        return self._client is not None

    def drain(self) -> list[LinkEvent]:
        """Return what has happened since the last call, in order."""
        events = []
        while self._events:
            events.append(self._events.popleft())
        return events

    def publish(
        self,
        generation: int,
        topic: str,
        payload: bytes,
        *,
        qos: int = 1,
        retain: bool = False,
        expiry_s: int | None = None,
    ) -> int | None:
        """Write a message to the socket of connection `generation`; never blocks.

        Returns its packet id (0 at QoS 0), which `Acked` will name, or None when that connection is gone.
        """
        with self._lock:
            client = self._client
            if client is None or generation != self._generation or generation == self._cut:
                return None
            stream = socket_of(client)
            if stream is None:
                return None
            mid = self._next_mid() if qos else 0
            five = client.protocol == MQTTv5
            packet = publish_packet(topic, payload, mid=mid, retain=retain, expiry_s=expiry_s, five=five)
            stream.write(packet)
            gone, nudge = stream.ended, stream.ended or stream.unsent
        if nudge:
            self._waker.set()
        return None if gone else mid

    def _next_mid(self) -> int:
        # paho counts its SUBSCRIBE from 1; of ours no more are open than the broker's window holds.
        self._mid = _FIRST_MID if self._mid == _LAST_MID else self._mid + 1
        return self._mid

    def acknowledge(self, tokens: Iterable[Token]) -> None:
        """Tell the broker that these messages are safe here. Until then it keeps them for us."""
        if not (tokens := list(tokens)):
            return
        with self._lock:
            # What came over an earlier connection is sent again by the broker.
            mids = [mid for generation, mid in tokens if generation == self._generation]
            client = self._client
            stream = None if client is None else socket_of(client)
            if stream is None or not mids:
                return
            stream.acknowledge(mids)
            nudge = stream.ended or stream.unsent
        if nudge:
            self._waker.set()

    def cut(self, generation: int) -> None:
        """Drop that connection and whatever the kernel has not yet sent of it."""
        self._cut = generation
        self._waker.set()

    def close(self, timeout_s: float) -> bool:
        """Disconnect in order, so that the Will stays unsaid. Returns whether it was in time."""
        self._closing.set()
        self._waker.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        if self._thread.is_alive():
            return False
        self._waker.close()
        return True

    @property
    def alive(self) -> bool:
        """Whether the network thread runs; if it died of a bug, the process must not go on."""
        return self._thread.is_alive()

    # -- the network thread ----------------------------------------------------------------------

    def _run(self) -> None:
        backoff = Backoff()
        short = 0
        while not self._closing.is_set():
            started = time.monotonic()
            generation = self._generation
            reason = self._session()
            if self._closing.is_set():
                return
            if self._generation == generation:
                self._events.append(Lost(0, reason))
            else:
                held_s = time.monotonic() - started
                short = short + 1 if held_s < SHORT_S else 0
                if held_s > HELD_S:
                    backoff.reset()
                self._events.append(self._lost(reason, short))
            self._on_wake()
            self._pause(backoff.next_s())

    def _lost(self, reason: str, short: int) -> Lost:
        if short < FLAPS:
            return Lost(self._generation, reason)
        return Lost(self._generation, explain_flapping(self._config), "BROKER_FLAPS")

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._closing.is_set() and (left := until - time.monotonic()) > 0:
            self._closing.wait(min(left, TICK_MS / 1000))
            self._wake_if_due()

    def _wake_if_due(self) -> None:
        due = self.wake_at_ns
        if due is not None and self._clock.now_ns() >= due:
            self.wake_at_ns = None
            self._on_wake()

    def _session(self) -> str:
        """Connect, serve until the connection ends, and return why it ended."""
        protocol = self._choose_protocol()
        name, expiry_s = self._config.client_id, self._session_expiry_s
        client = build_client(self._config, self._access, protocol, name, persistent=expiry_s > 0)
        will = self._will()
        client.will_set(will.topic, will.payload, qos=1, retain=will.retain)
        client.on_connect = self._handle_connect
        client.on_disconnect = self._handle_disconnect
        client.on_subscribe = self._handle_suback
        self._failure = ""
        try:
            open_connection(client, self._config, session_expiry_s=expiry_s)
        except HungUpError:
            self._refused_v5 += 1
            return explain_hang_up(self._config)
        except OSError as error:
            return explain_connect_error(error, self._config)
        accepted = self._serve(client)
        if not accepted and not self._failure and protocol == MQTTv5:
            self._refused_v5 += 1  # a 3.1.1 broker may just hang up on CONNECT 5
        if accepted and self._cut == self._generation:
            return "the broker stopped acknowledging; the connection was cut"
        if not accepted:
            return self._failure or explain_hang_up(self._config)
        where = f"broker {self._config.host}:{self._config.port}"
        return self._failure or f"{where}: connection lost; it is retried until it is back"

    def _choose_protocol(self) -> MQTTProtocolVersion:
        protocol = PROTOCOLS[self._config.protocol]
        if protocol == MQTTv5 and self._refused_v5 >= 2:
            self._refused_v5 = 0
            return MQTTv311
        return protocol

    def _serve(self, client: Client) -> bool:
        """Drive the client until its socket is gone. Returns whether the broker accepted us."""
        generation = self._generation
        stream = socket_of(client)
        if stream is None:
            return False
        fd = stream.fileno()
        poller = select.poll()
        poller.register(fd, select.POLLIN)
        poller.register(self._waker, select.POLLIN)
        give_up = time.monotonic() + CONNECT_TIMEOUT_S
        next_misc = 0.0
        while not self._closing.is_set():
            with self._lock:
                unsent = stream.unsent or client.want_write()
                pending = stream.pending
            poller.modify(fd, select.POLLIN | (select.POLLOUT if unsent else 0))
            ready = dict(poller.poll(0 if pending else TICK_MS))
            received_ns = self._clock.now_ns()  # before anything else, since fusion aligns by it
            if self._waker.fileno() in ready:
                self._waker.clear()
            with self._lock:
                if self._client is not None and self._cut == self._generation:
                    break
                if pending or stream.ended or ready.get(fd, 0) & ~select.POLLOUT:
                    stream.fill()
                    while stream.for_paho and client.socket() is not None:
                        client.loop_read()
                    # SUBSCRIBE must be out before anybody publishes: who reads that we are there may
                    # answer at once.
                    client.loop_write()
                if ready.get(fd, 0) & select.POLLOUT and client.socket() is not None:
                    client.loop_write()
                    stream.flush()
                now = time.monotonic()
                if now >= next_misc and client.socket() is not None:
                    client.loop_misc()
                    next_misc = now + 0.25
                publications = stream.publications() if self._client is not None else []
                answers = stream.answers()
                gone = client.socket() is None
            self._hand_on(publications, received_ns)
            for mid, reason in answers:
                self._events.append(Acked(self._generation, mid, *explain_answer(reason)))
                self._woken = True
            if gone:
                break
            if self._woken:
                self._woken = False
                self._on_wake()
            self._wake_if_due()
            if self._client is None and now > give_up:
                self._failure = self._failure or (
                    f"broker {self._config.host}:{self._config.port}: accepts the connection but"
                    " does not answer; check that it is an MQTT broker"
                )
                break
        self._end(client)
        return self._generation != generation

    def _hand_on(self, publications: list[Publication], received_ns: int) -> None:
        generation = self._generation
        for topic, payload, retained, mid in map(msgspec.structs.astuple, publications):
            token = None if mid is None else (generation, mid)
            self._on_message(topic, payload, retained, received_ns, token)
            self._woken = True

    def _end(self, client: Client) -> None:
        with self._lock:
            self._client = None
            stream = socket_of(client)
            if stream is None:
                return
            if self._closing.is_set():
                client.disconnect()
                client.loop_write()
            else:
                # Linger 0: the kernel throws away what it has not sent, and resets.
                stream.wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            stream.close()

    # Callbacks of paho: in the network thread, or in the caller's when a write finds the
    # connection dead; under the lock either way.

    def _handle_connect(
        self,
        client: Client,
        _userdata: object,
        _flags: ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self._failure = explain_refusal(reason, self._config)
            if str(reason) == "Unsupported protocol version":
                self._refused_v5 = 2
            return
        options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
        if client.protocol == MQTTv5:
            client.subscribe([(topic, options) for topic in self._subscriptions])
        else:
            client.subscribe([(topic, 1) for topic in self._subscriptions])
        window = getattr(properties, "ReceiveMaximum", DEFAULT_WINDOW)
        self._generation += 1
        self._refused_v5 = 0
        self._client = client
        name = "mqtt5" if client.protocol == MQTTv5 else "mqtt311"
        self._events.append(Connected(self._generation, window, name))
        self._woken = True

    def _handle_disconnect(
        self,
        _client: Client,
        _userdata: object,
        flags: DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._client = None
        if flags.is_disconnect_packet_from_server:
            self._failure = (
                f"another client uses client_id {self._config.client_id!r}; give each its own"
                if str(reason) == "Session taken over"
                else f"the broker ended the connection ({reason})"
            )

    def _handle_suback(
        self,
        _client: Client,
        _userdata: object,
        _mid: int,
        reasons: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        for topic, reason in zip(self._subscriptions, reasons, strict=False):
            if reason.is_failure:
                text = f"the broker refuses the subscription to {topic} ({reason}); check its ACL"
                self._events.append(SubscriptionRefused(self._generation, text))
                self._woken = True
