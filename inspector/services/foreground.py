"""`inspector run`: the supervisor in the foreground, until it is told to stop."""

from pathlib import Path

from inspector import log
from inspector.config import Site
from inspector.services.interrupt import Interrupt
from inspector.services.supervisor import Supervisor


def run_cell(site: Site, site_file: Path) -> None:
    """Run the cell's services. Returns after SIGTERM or Ctrl-C, when all have ended.

    Raises:
        ConfigError: a service found its configuration wrong.
    """
    log.configure("supervisor")
    with Interrupt() as interrupt:
        with interrupt.shield():
            supervisor = Supervisor(site, site_file)
        try:
            supervisor.start()
            announced = False
            while True:
                supervisor.poll()
                if supervisor.ready and not announced:
                    log.get().info("all services are ready", domain=supervisor.domain)
                    announced = True
        except KeyboardInterrupt:
            log.get().info("stopping")
        finally:
            with interrupt.shield():
                supervisor.stop()
