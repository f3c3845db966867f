"""PocketSphinx around a few phrases: sound in, phrases out. Offline; its English model is in its package.

A grammar finds one of its phrases in every noise. So each utterance is decoded a second time as any sequence
of English sounds, and what the grammar explains much worse than that was no phrase of ours (a filler model,
R. C. Rose and D. B. Paul, "A hidden Markov model based keyword recognition system", ICASSP 1990).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from inspector.errors import ConfigError
from inspector.speech.phrases import grammar

RATE_HZ = 16_000
# Mean difference of the scores a frame: nearly all phrases have more, and nearly all other talk has less.
_WORST = -4e-4
_STRICTEST = 3
_FRAME_S = 0.01  # of the decoder
_LONGEST_S = 6.0  # a machine that sounds like speech is cut there


@dataclass(frozen=True, slots=True)
class Heard:
    """A phrase, and when its first sound was: `ago_s` before the end of what was fed."""

    phrase: str
    ago_s: float


class Recogniser:
    """Feed it frames of `frame_bytes` (signed 16 bit, 16 kHz, one channel). One thread.

    Raises ConfigError when PocketSphinx is not installed, or does not know a word.
    """

    def __init__(self, said: Mapping[str, float]) -> None:
        try:
            from pocketsphinx import Decoder, Endpointer  # noqa: PLC0415 - only here with the extra [speech]
        except ImportError as error:
            raise ConfigError("speech needs PocketSphinx: pip install 'inspector-cell[speech]'") from error
        self._said = frozenset(said)
        # Batch: each utterance is normalised by itself, so that what was said before it changes nothing.
        options = {"lm": None, "samprate": RATE_HZ, "cmn": "batch", "loglevel": "FATAL"}
        self._phrases = Decoder(**options)
        words = {word for phrase in said for word in phrase.split()}
        if unknown := sorted(word for word in words if self._phrases.lookup_word(word) is None):
            raise ConfigError(f"speech: {unknown[0]!r} is not in PocketSphinx's dictionary; use another word")
        self._phrases.add_jsgf_string("phrases", grammar(said))
        self._phrases.activate_search("phrases")
        self._sounds = Decoder(**options)
        self._sounds.add_allphone_file("sounds", None)
        self._sounds.activate_search("sounds")
        # A hall is never silent: the strictest of its four ways to tell speech from noise.
        self._ends = Endpointer(sample_rate=RATE_HZ, vad_mode=_STRICTEST)
        self._speech: list[bytes] = []
        self._fed_s = self._begun_s = self._cut_s = 0.0
        self.frame_bytes: int = self._ends.frame_bytes
        self.not_understood = 0

    def hear(self, frame: bytes) -> Heard | None:
        """Take a frame; return the phrase that it ends, if it does."""
        self._fed_s += len(frame) / 2 / RATE_HZ
        speech = self._ends.process(frame)
        if speech is None:
            return None
        if not self._speech:
            self._begun_s = max(self._ends.speech_start, self._cut_s)
        self._speech.append(speech)
        if self._ends.in_speech and self._fed_s - self._begun_s < _LONGEST_S:
            return None
        utterance, self._speech, self._cut_s = b"".join(self._speech), [], self._fed_s
        for decoder in (self._phrases, self._sounds):
            decoder.start_utt()
            decoder.process_raw(utterance, full_utt=True)
            decoder.end_utt()
        found, any_sound = self._phrases.hyp(), self._sounds.hyp()
        frames = max(1.0, len(utterance) / 2 / RATE_HZ / _FRAME_S)
        known = found is not None and found.hypstr in self._said  # and not the beginning of one
        if not known or any_sound is None or (found.score - any_sound.score) / frames < _WORST:
            self.not_understood += 1
            return None
        return Heard(found.hypstr, self._fed_s - self._begun_s)
