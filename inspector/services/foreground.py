"""`inspector run`: the supervisor in the foreground, until it is told to stop."""

import signal
from pathlib import Path
from types import FrameType

from inspector import log
from inspector.config import Site
from inspector.services.supervisor import Supervisor


class _Stop(BaseException):
    """SIGTERM: end in order, as after Ctrl-C."""


def run_cell(site: Site, site_file: Path) -> None:
    """Run the cell's services. Returns after SIGTERM or Ctrl-C, when all have ended.

    Raises:
        ConfigError: a service found its configuration wrong.
    """
    log.configure("supervisor")
    signal.signal(signal.SIGTERM, _on_term)
    supervisor = Supervisor(site, site_file)
    try:
        supervisor.start()
        announced = False
        while True:
            supervisor.poll()
            if supervisor.ready and not announced:
                log.get().info("all services are ready", domain=supervisor.domain)
                announced = True
    except (KeyboardInterrupt, _Stop):
        log.get().info("stopping")
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        supervisor.stop()


def _on_term(signum: int, frame: FrameType | None) -> None:
    del signum, frame
    raise _Stop
