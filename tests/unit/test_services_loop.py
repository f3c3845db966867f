"""What the loop makes of a service's errors, in a process of its own as in the cell."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from inspector.bus import Bus, sweep
from inspector.clock import NS_PER_MS
from inspector.topics import FAULTS
from inspector.types import Fault

SITE = Path(__file__).parents[2] / "deploy" / "demo" / "site.yaml"
SERVICE = """
from pathlib import Path
from inspector.config_load import load_site
from inspector.errors import ConfigError, DataError, StoreError
from inspector.services.loop import Loop

class Service:
    steps = 0
    def step(self):
        self.steps += 1
        {step}
    def close(self):
        print("closed", flush=True)

raise SystemExit(Loop("detector", {domain!r}, load_site(Path({site!r})), 0).run(lambda context: Service()))
"""


@pytest.fixture
def domain() -> Iterator[str]:
    name = f"{os.getpid()}"
    yield name
    sweep(name)


def run(domain: str, step: str) -> tuple[int, str, list[str]]:
    """Returns the exit status, what the service printed, and the faults as `code: text`."""
    code = textwrap.dedent(SERVICE).format(step=step, domain=domain, site=str(SITE))
    heard: list[Fault] = []
    with Bus(domain, "here") as bus:
        faults = bus.subscriber(FAULTS)
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
            while process.poll() is None:
                bus.wait(5 * NS_PER_MS)
                heard += faults.drain()
            heard += faults.drain()
            assert process.stdout is not None
            printed = process.stdout.read()
    return process.returncode, printed, [f"{fault.code}: {fault.text}" for fault in heard]


def test_a_defect_is_reported_and_the_service_is_closed(domain: str) -> None:
    assert run(domain, "[][1]") == (1, "closed\n", ["IndexError: list index out of range"])


def test_a_wrong_configuration_is_for_a_person_to_mend(domain: str) -> None:
    assert run(domain, "raise ConfigError('no such model')") == (2, "closed\n", ["CONFIG: no such model"])


def test_bad_input_and_a_full_disk_do_not_end_a_service(domain: str) -> None:
    step = "raise (DataError('odd'), StoreError('full'), ValueError('end'))[self.steps - 1]"
    assert run(domain, step) == (1, "closed\n", ["DATA: odd", "StoreError: full", "ValueError: end"])
