"""Fetching the jars with the Ivy that is inside pyspark, so that a machine needs no Maven and a session no network."""

from __future__ import annotations

import re
import ssl
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.sax.saxutils import quoteattr

from lakehouse.errors import JarMissingError, SetupError
from lakehouse.runtime.jars import Jar, verify

# POMs are not read: they would only name dependencies, which are not wanted, and take twice as long as the jars.
SETTINGS = """<ivysettings>
  <settings defaultResolver="central"/>
  <resolvers><ibiblio name="central" m2compatible="true" usepoms="false"/></resolvers>
</ivysettings>
"""
DEBIAN_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def fetch(jars: Sequence[Jar], into: Path, *, java: Path, spark: Path) -> None:
    """Put jars into a folder, each whole and verified, or not at all.

    They are downloaded beside the folder and moved into it once their hashes are right, so that nobody ever sees half
    a jar. Ivy's cache lives in there too: a shared one, or ``~/.m2``, may hold a POM without its jar and then fails.

    Args:
        jars: what to fetch; an empty list needs no network.
        into: the folder of the lane, made when it is missing.
        java: the program that runs Ivy.
        spark: the folder of the pyspark package.

    Raises:
        JarMissingError: a jar could not be downloaded.
        JarHashError: what was downloaded is not what the lock says.
    """
    if not jars:
        return
    into.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=into.parent, prefix=".fetching-") as name:
        scratch = Path(name)
        said = _run_ivy(jars, scratch, java=java, ivy=_ivy_of(spark))
        for jar in jars:
            if not (scratch / jar.file).is_file():
                hint = f"the network or a proxy may be in the way; or put the jar into {into} by hand"
                raise JarMissingError(f"{jar.file} could not be fetched: {said}", hint=hint)
            verify(jar, scratch)
        for jar in jars:
            (scratch / jar.file).replace(into / jar.file)


def module(jars: Sequence[Jar]) -> str:
    """Ivy's own description of what to fetch: these jars, and nothing that they depend on."""
    lines = (
        f"    <dependency org={quoteattr(jar.group)} name={quoteattr(jar.artifact)} rev={quoteattr(jar.version)}"
        f' transitive="false">{_artifact(jar)}</dependency>'
        for jar in jars
    )
    return "\n".join(
        (
            '<ivy-module version="2.0" xmlns:m="http://ant.apache.org/ivy/maven">',
            '  <info organisation="lakehouse" module="jars"/>',
            "  <dependencies>",
            *lines,
            "  </dependencies>",
            "</ivy-module>\n",
        )
    )


def _artifact(jar: Jar) -> str:
    """Which file of a module is meant; nothing for its plain jar."""
    if (jar.ext, jar.classifier) == ("jar", ""):
        return ""
    kind = f"ext={quoteattr(jar.ext)}" + (f" m:classifier={quoteattr(jar.classifier)}" if jar.classifier else "")
    return f'<artifact name={quoteattr(jar.artifact)} type="jar" {kind}/>'


def truststore(pem: str) -> bytes:
    """The machine's certificates as a Java key store (JKS, version 2).

    pip and apt trust the machine's authorities, among them a company's own. A Java that came in a wheel knows only
    those it was built with. The store is read without a password, and so the digest that would end it is left out.
    """
    certificates = re.findall(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", pem, re.DOTALL)
    entries = [struct.pack(">IIi", 0xFEEDFEED, 2, len(certificates))]
    for number, certificate in enumerate(certificates):
        alias, der = str(number).encode(), ssl.PEM_cert_to_DER_cert(certificate)
        entries.append(struct.pack(f">iH{len(alias)}sqH5si", 2, len(alias), alias, 0, 5, b"X.509", len(der)) + der)
    return b"".join(entries)


def _run_ivy(jars: Sequence[Jar], scratch: Path, *, java: Path, ivy: Path) -> str:
    """Run Ivy in a folder of its own, and return what it complained of, in one line."""
    (scratch / "settings.xml").write_text(SETTINGS, encoding="utf-8")
    (scratch / "ivy.xml").write_text(module(jars), encoding="utf-8")
    options: tuple[str | Path, ...] = (
        *("-settings", scratch / "settings.xml", "-ivy", scratch / "ivy.xml", "-cache", scratch / "cache"),
        *("-retrieve", scratch / "[artifact]-[revision](-[classifier]).[ext]", "-types", "jar"),
    )
    # Java takes its home from the user database, not from HOME: say it, or a cache appears in the real one.
    command = (java, f"-Duser.home={scratch}", *_trust(scratch), "-cp", ivy, "org.apache.ivy.Main", *options)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    complaints = re.findall(r"(?:Server access error|java\.\S+Exception|Error:|not found).*", done.stdout + done.stderr)
    return complaints[0] if complaints else f"Ivy ended with {done.returncode}"


def _trust(scratch: Path) -> tuple[str, ...]:
    """Java's options that make it trust what the machine trusts; none where the machine keeps no list of that."""
    listed = ssl.get_default_verify_paths().cafile
    bundle = Path(listed) if listed else DEBIAN_CERTIFICATES
    if not bundle.is_file():
        return ()
    store = scratch / "certificates.jks"
    store.write_bytes(truststore(bundle.read_text(encoding="utf-8", errors="replace")))
    return (f"-Djavax.net.ssl.trustStore={store}", "-Djavax.net.ssl.trustStoreType=jks")


def _ivy_of(spark: Path) -> Path:
    """The Ivy that this pyspark ships."""
    found = sorted((spark / "jars").glob("ivy-*.jar"))
    if not found:
        raise SetupError(f"{spark} holds no Ivy: it is not a whole pyspark", hint="install pyspark again")
    return found[-1]
