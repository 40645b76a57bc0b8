"""Where our servers listen: on loopback always, and beside it on the addresses of this machine that a person names.

Commands of this machine use loopback whatever else is open, so neither their proxy settings nor the network matter to
them, and what is open to others can be closed without them. For that, `0.0.0.0` and `::` are bound address by address.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil

LOOPBACK = "127.0.0.1"
LOOPBACK_NAMES = (LOOPBACK, "localhost")
FAMILIES = {"0.0.0.0": (4,), "::": (4, 6)}
"""Hosts that mean all addresses, and of which versions of the protocol."""
BACKLOG = 128
DRAWS = 20
"""Ports that the system is asked for before it is believed that none is free on all addresses."""


class AddressError(RuntimeError):
    """A host is not of this machine, or a port of it cannot be had."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server is wanted.

    Attributes:
        host: as it was given; empty for loopback alone.
        addresses: what is bound beside 127.0.0.1.
        name: of the host in links: what was given, or of all addresses the one that others reach most likely.
        port: that was named; None: the usual one, or any.
        option: by which the port is named.
        named: it was named itself, and does not follow from another.
    """

    host: str = ""
    addresses: tuple[str, ...] = ()
    name: str = LOOPBACK
    port: int | None = None
    option: str = "--port"
    named: bool = True

    def open_to_others(self) -> bool:
        """Return whether other machines can come in."""
        return not all(ipaddress.ip_address(address).is_loopback for address in self.addresses)

    def names(self) -> tuple[str, ...]:
        """Return every name by which a browser may ask for it: any other belongs to a page that wants to be it."""
        own = (self.name, *self.addresses, socket.gethostname().lower()) if self.addresses else ()
        return tuple(dict.fromkeys((*LOOPBACK_NAMES, *own)))


def place_of(host: str, port: int | None, option: str = "--port", *, named: bool = True) -> Place:
    """Return the place that a person named.

    Raises:
        AddressError: the host is not of this machine, or others could not open it; or the port is none.
    """
    if port is not None and not 0 < port < 65536:
        raise AddressError(f"The port {port} is none; expected 1 to 65535. Name another one with {option}.")
    given = host.strip().strip("[]").rstrip(".").lower()
    if given in LOOPBACK_NAMES:
        return Place(port=port, option=option, named=named)
    found = _addresses(given, host)
    everywhere = next((one for one in found if one in FAMILIES), None)
    mine = machine_addresses()
    if everywhere is not None:
        versions = FAMILIES[everywhere]
        addresses = tuple(one for one in mine if ipaddress.ip_address(one).version in versions)
        if not addresses:
            raise AddressError(
                f"--host is {host!r}, but this machine has no address that others can reach. Connect it to a network, "
                "or leave --host out."
            )
        return Place(given, addresses, addresses[0], port, option, named)
    addresses = tuple(one for one in found if one in mine or ipaddress.ip_address(one).is_loopback)
    choices = (
        f"expected one of {', '.join((*mine, '0.0.0.0 (all of them)'))}, or a name of one" if mine else "it has none"
    )
    if not addresses:
        raise AddressError(
            f"--host is {host!r}, which is no address of this machine that a browser can open; {choices}. "
            "Give one of these, or leave --host out for this machine alone."
        )
    if given not in found and all(ipaddress.ip_address(one).is_loopback for one in addresses):
        raise AddressError(
            f"--host is {host!r}, which on this machine means {', '.join(addresses)}: nobody else can reach that; "
            f"{choices}. Give one of these, or leave --host out for this machine alone."
        )
    return Place(given, addresses, given, port, option, named)


def _addresses(given: str, host: str) -> tuple[str, ...]:
    """Return what a host means, in the one form that is compared."""
    try:
        told = socket.getaddrinfo(given, None, type=socket.SOCK_STREAM) if given else []
    except (OSError, UnicodeError):
        told = []
    if not told:
        raise AddressError(
            f"--host is {host!r}, for which no address is known; expected an address or a name of this machine, such "
            f"as {', '.join((*machine_addresses(), '0.0.0.0 (all)'))}. Check the spelling, or give the address."
        )
    return tuple(dict.fromkeys(_plain(str(address[0])) for *_, address in told))


def _plain(address: str) -> str:
    """Return an address without its zone, and IPv4 as such."""
    one = ipaddress.ip_address(address.partition("%")[0])
    return str(getattr(one, "ipv4_mapped", None) or one)


def machine_addresses() -> tuple[str, ...]:
    """Return the addresses of this machine that others may reach, the most likely one first.

    Those of one cable only (link-local) are left out: browsers cannot open them.
    """
    found = [
        _plain(one.address)
        for interface in psutil.net_if_addrs().values()
        for one in interface
        if one.family in (socket.AF_INET, socket.AF_INET6)
    ]
    usable = [one for one in dict.fromkeys(found) if not _of_this_machine_only(one)]
    outward = _of_the_default_route()
    return tuple(sorted(usable, key=lambda one: (one != outward, ipaddress.ip_address(one).version)))


def _of_this_machine_only(address: str) -> bool:
    one = ipaddress.ip_address(address)
    return one.is_loopback or one.is_link_local or one.is_unspecified


def _of_the_default_route() -> str | None:
    """Return the address from which others would be spoken to; nothing is sent for it."""
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # an address that is given to nobody
        return str(probe.getsockname()[0])
    return None


def bound_sockets(place: Place, preferred: int) -> list[socket.socket]:
    """Return sockets that listen at one port of loopback and of a place: at the named port or none.

    Where no port is named, it is the preferred one if it is free, else one that the system gives.

    Raises:
        AddressError: the named port cannot be had, or there is none.
    """
    for port in (preferred, *[0] * DRAWS) if place.port is None else (place.port,):
        try:
            return _listening((LOOPBACK, *place.addresses), port)
        except OSError as error:
            if place.port is not None or error.errno != errno.EADDRINUSE:
                raise AddressError(_refusal(place, port, error)) from error
    raise AddressError(
        f"No port is free on {', '.join((LOOPBACK, *place.addresses))}: close programs that listen there, then give "
        "the same command again."
    )


def _listening(addresses: Sequence[str], port: int) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    try:
        for address in addresses:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            listener = socket.socket(family)
            sockets.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((address, port))
            listener.listen(BACKLOG)
            port = listener.getsockname()[1]
    except OSError:
        for one in sockets:
            one.close()
        raise
    return sockets


def _refusal(place: Place, port: int, error: OSError) -> str:
    where = " and ".join((LOOPBACK, *place.addresses))
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {port} is taken ({listener_of(port)} listens there); expected one that is free on {where}. End that "
            f"program, or name another port with {place.option}."
        )
    if error.errno == errno.EACCES:
        return (
            f"Port {port} is not given to you ({error.strerror}): those below 1024 are the system's. Name another one "
            f"with {place.option}."
        )
    return (
        f"--host is {place.host or LOOPBACK!r}, but {where} cannot be listened on ({error.strerror}); expected "
        "addresses that this machine has now. Give another --host, or leave it out for this machine alone."
    )


def listener_of(port: int) -> str:
    """Return which program listens at a port, as far as the system tells us."""
    with suppress(psutil.Error, OSError):
        for one in psutil.net_connections("tcp"):
            if one.status == psutil.CONN_LISTEN and one.laddr and one.laddr.port == port and one.pid:
                process = psutil.Process(one.pid)
                with suppress(psutil.Error):
                    return f"process {one.pid}, {process.name()} in {process.cwd()},"
                return f"process {one.pid}"
    return "another program"


def in_address(name: str) -> str:
    """Return a name or address as it stands in a URL."""
    return f"[{name}]" if ":" in name else name
