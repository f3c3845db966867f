"""The speech modality: a thread that listens, and what it has understood."""

import queue
import threading
from collections.abc import Callable, Sequence

from inspector.clock import NS_PER_S, Clock
from inspector.errors import ConfigError, DeviceError
from inspector.modality import Options, Said
from inspector.speech.microphone import Microphone
from inspector.speech.phrases import phrases
from inspector.speech.recogniser import Recogniser

# ALSA's recorder, of the Debian package alsa-utils.
_ARECORD = ("arecord", "-q", "-t", "raw", "-f", "S16_LE", "-r", "16000", "-c", "1")
_OPTIONS = {"command", "reject", "confirm"}


def make(options: Options, clock: Clock, wake: Callable[[], None]) -> "Speech":
    """Listen for the phrases of `reject` and `confirm` on what `command` writes. Raises ConfigError."""
    if unknown := sorted(set(options) - _OPTIONS):
        raise ConfigError(f"speech: there is no option {unknown[0]}; there are {', '.join(sorted(_OPTIONS))}")
    command = options.get("command", _ARECORD)
    if not isinstance(command, tuple) or not command:
        raise ConfigError("speech: command: give a list: a program and its arguments")
    return Speech(command, phrases(options), clock, wake)


class Speech:
    """Implements `inspector.modality.Modality`: 1 for a phrase that rejects, 0 for one that confirms."""

    def __init__(
        self, command: Sequence[str], said: dict[str, float], clock: Clock, wake: Callable[[], None]
    ) -> None:
        self._command, self._said, self._clock, self._wake = command, said, clock, wake
        Recogniser(said)  # what is wrong with the phrases is told now, not when somebody speaks
        self._heard: queue.SimpleQueue[Said | DeviceError] = queue.SimpleQueue()
        self._microphone: Microphone | None = None
        self._thread: threading.Thread | None = None

    def poll(self) -> Sequence[Said]:
        """Return what was understood since the last call. Raises DeviceError once the sound ends."""
        if self._thread is None:
            self._microphone = Microphone(self._command)
            self._thread = threading.Thread(
                target=self._listen, args=(self._microphone,), name="speech", daemon=True
            )
            self._thread.start()
        found: list[Said] = []
        while not self._heard.empty():
            item = self._heard.get()
            if isinstance(item, Said):
                found.append(item)
            elif found:
                self._heard.put(item)  # first what was said before
                break
            else:
                self.close()
                raise item
        return found

    def close(self) -> None:
        if self._microphone is not None and self._thread is not None:
            self._microphone.close()
            self._thread.join()
            self._microphone.release()
            self._microphone = self._thread = None

    def _listen(self, microphone: Microphone) -> None:
        recogniser = Recogniser(self._said)
        try:
            while True:
                heard = recogniser.hear(microphone.read(recogniser.frame_bytes))
                if heard is not None:
                    begun_ns = self._clock.now_ns() - round(heard.ago_s * NS_PER_S)
                    self._heard.put(Said(self._said[heard.phrase], begun_ns))
                    self._wake()
        except DeviceError as error:
            self._heard.put(error)
            self._wake()
