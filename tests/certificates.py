"""Certificates for tests, made by openssl."""

import subprocess
from pathlib import Path


def make_certificate(directory: Path, name: str, issuer: str | None, extension: str) -> None:
    """Write NAME.key and NAME.crt (CN is NAME), signed by the issuer or by itself."""
    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    request = ("req", *new_key, "-keyout", f"{name}.key", "-subj", f"/CN={name}")
    if issuer is None:
        _openssl(*request, "-x509", "-days", "2", "-out", f"{name}.crt", cwd=directory)
        return
    _openssl(*request, "-out", f"{name}.csr", cwd=directory)
    (directory / f"{name}.ext").write_text(extension)
    _openssl(
        *("x509", "-req", "-in", f"{name}.csr", "-CA", f"{issuer}.crt", "-CAkey", f"{issuer}.key"),
        *("-CAcreateserial", "-days", "2", "-extfile", f"{name}.ext", "-out", f"{name}.crt"),
        cwd=directory,
    )


def _openssl(*arguments: str, cwd: Path) -> None:
    subprocess.run(["openssl", *arguments], cwd=cwd, check=True, capture_output=True)
