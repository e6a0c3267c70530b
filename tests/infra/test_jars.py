"""The jars are exactly those of the lock, and any that is not is named."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from infra.errors import SetupError
from infra.setup import jars
from infra.setup.java import PASSWORD, write_trust_store


def test_the_installed_jars_are_those_of_the_lock() -> None:
    assert jars.mismatches(jars.JARS) == {}


def test_the_lock_holds_what_the_ivy_file_asks_for() -> None:
    locked = jars.LOCK.read_text()
    for dependency in ElementTree.parse(jars.IVY_XML).iter("dependency"):
        configuration = dependency.attrib["conf"].split("->")[0]
        assert f"  {configuration}/{dependency.attrib['name']}-{dependency.attrib['rev']}.jar\n" in locked


def test_spark_gets_no_library_that_pyspark_brings_itself() -> None:
    names = [path.name for path in (jars.JARS / "spark").iterdir()]
    assert len(names) == 7
    assert all(name.startswith(("delta-", "unitycatalog-")) for name in names)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda folder: (folder / "spark" / "added.jar").write_bytes(b""), "is not in the lock"),
        (lambda folder: next((folder / "kafka").glob("kafka_*")).unlink(), "is missing"),
        (lambda folder: next((folder / "kafka").glob("kafka_*")).write_bytes(b"cut"), "instead of"),
    ],
)
def test_a_jar_that_differs_is_named(tmp_path: Path, damage: Callable[[Path], object], told: str) -> None:
    folder = tmp_path / "jars"
    shutil.copytree(jars.JARS, folder)
    damage(folder)
    (what,) = jars.mismatches(folder).values()
    assert told in what


def test_a_line_of_the_lock_that_is_none_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / "jars.lock"
    lock.write_text("kafka/kafka.jar\n")
    monkeypatch.setattr(jars, "LOCK", lock)
    with pytest.raises(SetupError, match=r"expected `<sha256>  <name>`, got 'kafka/kafka\.jar'"):
        jars.mismatches(tmp_path)


def test_java_reads_the_trust_store_that_we_write(tmp_path: Path) -> None:
    import ssl
    import subprocess

    from infra import java
    from infra.settings import Settings

    keytool = java.find(Settings()).with_name("keytool")
    if not keytool.exists():
        pytest.skip("this Java has no keytool")
    certificates = ssl.create_default_context().get_ca_certs(binary_form=True)
    if not certificates:
        pytest.skip("this machine has no certificate authorities")
    store = tmp_path / "trust.jks"
    write_trust_store(store, certificates)
    done = subprocess.run(
        [keytool, "-list", "-keystore", store, "-storepass", PASSWORD], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.count("trustedCertEntry") == len(certificates), done.stdout + done.stderr
