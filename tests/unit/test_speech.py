"""The speech modality: what the site may ask for, what is understood, and what is not.

The three files of sound were made with espeak-ng (voice en-us), which speaks as the tests do; how
well a person in a hall is understood, no test here says.
"""

import sys
import time
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from inspector.clock import SystemClock
from inspector.errors import ConfigError, DeviceError
from inspector.modality import Options, Said
from inspector.speech.modality import Speech, make
from inspector.speech.phrases import CONFIRM, REJECT, grammar, phrases

SOUNDS = Path(__file__).parent / "speech"
RATE_HZ = 16_000


# -- phrases -------------------------------------------------------------------------------------


def test_phrases_have_their_value_and_become_a_grammar() -> None:
    said = phrases({"reject": ("scrap it",), "confirm": ("keep it", "fine")})
    assert said == {"scrap it": REJECT, "keep it": CONFIRM, "fine": CONFIRM}
    assert grammar(said) == "#JSGF V1.0; grammar phrases; public <phrase> = fine | keep it | scrap it;"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"reject": "bad"}, "reject: give a list of phrases"),
        ({"confirm": ()}, "confirm: give a list of phrases"),
        ({"reject": ("Bad part",)}, "'Bad part': words in lower case"),
        ({"reject": ("bad; public <x> = y",)}, "words in lower case"),
        ({"reject": ("part is good",)}, "'part is good' is there already"),
    ],
)
def test_phrases_that_cannot_be_meant_are_named(options: Options, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        phrases(options)


@pytest.mark.parametrize(
    ("options", "says"),
    [({"comand": ("x",)}, "there is no option comand"), ({"command": "arecord"}, "command: give a list")],
)
def test_options_that_are_wrong_are_named(options: Options, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        make(options, SystemClock(), lambda: None)


# -- what is understood --------------------------------------------------------------------------


@pytest.fixture
def understood() -> None:
    pytest.importorskip("pocketsphinx", reason="needs PocketSphinx: pip install 'inspector-cell[speech]'")


def sound(*names: str) -> bytes:
    """The files one after the other in a quiet room, with a second before, between and after."""
    pause = np.zeros(RATE_HZ)
    pieces = [pause]
    for name in names:
        with wave.open(str(SOUNDS / f"{name}.wav")) as file:
            pieces += [np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(float), pause]
    said = np.concatenate(pieces)
    room = np.random.default_rng(0).normal(0.0, 20.0, said.size)
    return (said + room).astype(np.int16).tobytes()


@pytest.mark.usefixtures("understood")
def test_phrases_are_understood_and_other_talk_is_not() -> None:
    from inspector.speech.recogniser import Heard, Recogniser  # noqa: PLC0415 - with PocketSphinx alone

    recogniser = Recogniser(phrases({}))
    data, size = (
        sound("reject_this_part", "the_machine_is_too_loud", "confirm_this_part"),
        recogniser.frame_bytes,
    )
    heard: list[Heard] = []
    for start in range(0, len(data) - size + 1, size):
        found = recogniser.hear(data[start : start + size])
        if found is not None:
            heard.append(found)
    assert [each.phrase for each in heard] == ["reject this part", "confirm this part"]
    # Each was ended by some 0.3 s of silence after 0.8 and 1.2 s of speech.
    assert all(0.8 < each.ago_s < 2.2 for each in heard)
    assert recogniser.not_understood == 1


@pytest.mark.usefixtures("understood")
def test_noise_that_does_not_end_is_cut_and_is_no_phrase() -> None:
    from inspector.speech.recogniser import Recogniser  # noqa: PLC0415 - with PocketSphinx alone

    recogniser = Recogniser(phrases({}))
    with wave.open(str(SOUNDS / "the_machine_is_too_loud.wav")) as file:
        talk = file.readframes(file.getnframes())[6_400:-12_800] * 9  # without the pauses around it
    size = recogniser.frame_bytes
    assert not any(recogniser.hear(talk[at : at + size]) for at in range(0, len(talk) - size + 1, size))
    assert recogniser.not_understood >= 1


@pytest.mark.usefixtures("understood")
def test_a_word_that_the_recogniser_does_not_know_is_named() -> None:
    with pytest.raises(ConfigError, match="'ausschuss' is not in PocketSphinx's dictionary"):
        make({"reject": ("ausschuss",)}, SystemClock(), lambda: None)


def wait_for(speech: Speech, enough: Callable[[list[Said]], bool]) -> list[Said]:
    said: list[Said] = []
    limit = time.monotonic() + 60.0
    while not enough(said) and time.monotonic() < limit:
        said += speech.poll()
        time.sleep(0.02)
    return said


@pytest.mark.usefixtures("understood")
def test_sound_from_a_program_is_understood_and_its_end_is_told_and_survived(tmp_path: Path) -> None:
    file = tmp_path / "sound.raw"
    file.write_bytes(sound("reject_this_part", "confirm_this_part"))
    copy = f"import sys; sys.stdout.buffer.write(open({str(file)!r}, 'rb').read())"
    speech = make({"command": (sys.executable, "-c", copy)}, SystemClock(), lambda: None)
    try:
        for _ in range(2):  # the program ends, and is started again
            began_ns = time.monotonic_ns()
            said = wait_for(speech, lambda heard: len(heard) == 2)
            assert [each.value for each in said] == [REJECT, CONFIRM]
            assert all(each.begun_ns < time.monotonic_ns() for each in said)
            assert said[0].begun_ns > began_ns - 3_000_000_000
            with pytest.raises(DeviceError, match=r"no sound: .* has ended"):
                wait_for(speech, lambda _: False)
    finally:
        speech.close()


@pytest.mark.usefixtures("understood")
def test_a_program_that_is_not_there_is_named() -> None:
    speech = make({"command": ("/no/such/recorder",)}, SystemClock(), lambda: None)
    with pytest.raises(DeviceError, match=r"/no/such/recorder: .*see options\.command"):
        speech.poll()
    speech.close()
