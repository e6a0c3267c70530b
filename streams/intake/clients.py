"""What is known of a client beside its events: its network, its country, its browser. Its address is kept nowhere.

An address is cut to its network (/24, /48) before anything is done with it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
from starlette.datastructures import Headers

from infra.errors import SettingsError
from infra.settings import Settings

NETWORK_BITS = {4: 24, 6: 48}
UNKNOWN = "unknown"
_COUNTRY = re.compile(r"[A-Z]{2}")
NO_COUNTRY = frozenset({"XX", "ZZ", "T1", "A1", "A2", "O1", "EU", "AP"})
"""What proxies and databases write where they don't know, or for what is no country."""
MAX_AGENT = 512


class Clients:
    """The parts of the settings that say whom to believe."""

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError for a malformed network or a database that can't be read."""
        try:
            self._proxies = [
                ipaddress.ip_network(text.strip())
                for text in settings.collector_trusted_proxies.split(",")
                if text.strip()
            ]
        except ValueError as error:
            msg = f"collector_trusted_proxies: expected networks like 10.0.0.0/8, comma-separated; {error}"
            raise SettingsError(msg) from None
        self._country_header = settings.collector_country_header.lower()
        if self._country_header and not self._proxies:
            msg = "collector_country_header is believed of a trusted proxy only; expected collector_trusted_proxies too"
            raise SettingsError(msg)
        self._lookup = _database(settings.collector_country_file)

    def network(self, peer: str | None, forwarded: str | None) -> str:
        """The client's network: the peer's or, behind trusted proxies, that of the last hop that is none of them."""
        hops = [peer or "", *(forwarded.rsplit(",", 20)[::-1] if forwarded and self.is_trusted(peer) else ())]
        for hop in hops:
            address = _address(hop)
            if address is None:
                return UNKNOWN
            if not self._is_proxy(address):
                return _cut(address)
        return _cut(_address(hops[-1]))

    def country(self, peer: str | None, headers: Headers, network: str) -> str | None:
        """What the trusted proxy says, else what the operator's database says; never a guess."""
        if self._country_header and self.is_trusted(peer):
            named = headers.getlist(self._country_header)
            if named and _is_country(named[-1].strip().upper()):
                return named[-1].strip().upper()
        return self._lookup(network)

    def is_trusted(self, peer: str | None) -> bool:
        address = _address(peer or "")
        return address is not None and self._is_proxy(address)

    def _is_proxy(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
        return any(address in network for network in self._proxies)


@lru_cache(10_000)
def agent(text: str) -> bytes | None:
    """The User-Agent header as a JSON object: browser, os and device, each with its version where that is known.

    None for a program that is no browser that we know.
    """
    from ua_parser import parse

    found = parse(text[:MAX_AGENT])
    if not found.user_agent:
        return None
    said: dict[str, str] = {"browser": found.user_agent.family}
    if found.user_agent.major:
        said["browserVersion"] = found.user_agent.major
    if found.os:
        said["os"] = found.os.family
        if found.os.major:
            said["osVersion"] = found.os.major
    if found.device and found.device.family != "Other":
        said["device"] = found.device.family
    return msgspec.json.encode(said)


@lru_cache(10_000)
def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if address.version == 6 else address


@lru_cache(10_000)
def _cut(address: ipaddress.IPv4Address | ipaddress.IPv6Address | None) -> str:
    if address is None:
        return UNKNOWN
    network = ipaddress.ip_network((address, NETWORK_BITS[address.version]), strict=False)
    return str(network.network_address)


def _database(path: str) -> Callable[[str], str | None]:
    """Network → country by an mmdb file, e.g. of MaxMind, DB-IP or IPinfo; without a file nobody has one."""
    if not path:
        return lambda _network: None
    import maxminddb

    try:
        reader = maxminddb.open_database(Path(path))
    except (OSError, maxminddb.InvalidDatabaseError) as error:
        msg = f"collector_country_file: expected an mmdb file at {path}: {error}"
        raise SettingsError(msg) from None

    @lru_cache(100_000)
    def lookup(network: str) -> str | None:
        try:
            code = "" if network == UNKNOWN else _code(reader.get(network))
        except ValueError:  # an IPv6 network, and a database of IPv4 only
            code = ""
        return code if _is_country(code) else None

    return lookup


def _code(found: Any) -> str:
    """`{"country": {"iso_code": "DE"}}`, `{"country": "DE"}` or `{"country_code": "DE"}`."""
    if not isinstance(found, dict):
        return ""
    country = found.get("country") or found.get("country_code")
    code = country.get("iso_code") if isinstance(country, dict) else country
    return code if isinstance(code, str) else ""


def _is_country(code: str) -> bool:
    return bool(_COUNTRY.fullmatch(code)) and code not in NO_COUNTRY
