"""Messages from the network thread to the caller's, bounded topic by topic.

Each known topic has a queue of its own, so that a sensor gone mad pushes out nothing but its own
readings: a trigger or another sensor's emergency still gets through.
"""

from collections import Counter, deque
from collections.abc import Mapping

import msgspec

from inspector.topics import MAX_DEPTH

OTHER = ""  # topics that nobody listed share one queue
Token = tuple[int, int]
"""Connection and packet id of a message that the broker keeps until it is acknowledged."""

MAX_BYTES = 1024  # of a payload on a topic that says nothing else


class Received(msgspec.Struct, frozen=True):
    topic: str
    payload: bytes
    retained: bool
    received_ns: int
    token: Token | None = None  # None: nobody waits for an acknowledgement


class Inbox:
    """`put` is for the network thread, the rest for the caller's. `dropped` only grows.

    `topics` says how large a payload may be on each; of a larger one a byte more is kept, enough to
    refuse it for its size.
    """

    def __init__(self, topics: Mapping[str, int]) -> None:
        self._max_bytes = dict(topics)
        self._queues: dict[str, deque[tuple[int, Received]]] = {
            topic: deque(maxlen=MAX_DEPTH) for topic in (*topics, OTHER)
        }
        self._arrivals = 0
        self._tokens: deque[Token] = deque()
        self.dropped: Counter[str] = Counter()

    def put(
        self, topic: str, payload: bytes, retained: bool, received_ns: int, token: Token | None = None
    ) -> None:
        """Queue one message; when its topic's queue is full the oldest there is dropped."""
        name = topic if topic in self._queues else OTHER
        queue = self._queues[name]
        if len(queue) == MAX_DEPTH:
            self.dropped[name] += 1
            self._let_go(queue)
        self._arrivals += 1
        received = Received(
            topic, payload[: self._max_bytes.get(topic, MAX_BYTES) + 1], retained, received_ns, token
        )
        queue.append((self._arrivals, received))

    def take_all(self) -> list[Received]:
        """Return what has arrived, in the order of arrival."""
        taken: list[tuple[int, Received]] = []
        # Not what comes meanwhile: a storm would keep us here, and a trigger whose queue was looked at
        # before it came would be overtaken by a reading that came after it.
        last = self._arrivals
        for queue in self._queues.values():
            try:
                while queue and queue[0][0] <= last:
                    taken.append(queue.popleft())
            except IndexError:
                continue  # the network thread has just dropped the one that we looked at
        taken.sort(key=lambda item: item[0])
        return [received for _, received in taken]

    def dropped_tokens(self) -> list[Token]:
        """Return the messages that were dropped since the last call: they are not wanted again."""
        tokens = []
        while self._tokens:
            tokens.append(self._tokens.popleft())
        return tokens

    def _let_go(self, queue: deque[tuple[int, Received]]) -> None:
        try:
            _, oldest = queue.popleft()
        except IndexError:
            return  # the caller was quicker
        if oldest.token is not None:
            self._tokens.append(oldest.token)
