"""Which hosts and ports of this machine a server of ours can be given."""

import errno
import socket

import pytest

from pipelines import listeners
from pipelines.listeners import AddressError, Place, bound_sockets, place_of


@pytest.fixture
def machine(monkeypatch):
    """A machine with an address of each kind, whose own name means loopback, as on Debian."""
    names = {"workstation": ["127.0.1.1"], "ws.lab.example": ["10.1.2.3", "fd00::5"], "other.example": ["203.0.113.9"]}

    def resolve(name, port, **options):
        known = names.get(name)
        if known is None:
            if set(name) - set("0123456789abcdef:.%"):
                raise socket.gaierror(socket.EAI_NONAME, "unknown")
            known = [name]
        return [(None, None, None, "", (address, 0)) for address in known]

    monkeypatch.setattr(listeners.socket, "getaddrinfo", resolve)
    monkeypatch.setattr(listeners.socket, "gethostname", lambda: "Workstation")
    monkeypatch.setattr(listeners, "machine_addresses", lambda: ("10.1.2.3", "172.17.0.1", "fd00::5"))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", " localhost "])
def test_loopback_is_nothing_beside_itself(machine, host):
    place = place_of(host, None)
    assert place == Place()
    assert not place.open_to_others()
    assert place.names() == ("127.0.0.1", "localhost")


@pytest.mark.parametrize(
    ("host", "addresses", "name"),
    [
        ("10.1.2.3", ("10.1.2.3",), "10.1.2.3"),
        ("::ffff:10.1.2.3", ("10.1.2.3",), "::ffff:10.1.2.3"),
        ("[fd00::5]", ("fd00::5",), "fd00::5"),
        ("WS.lab.example.", ("10.1.2.3", "fd00::5"), "ws.lab.example"),
        ("0.0.0.0", ("10.1.2.3", "172.17.0.1"), "10.1.2.3"),
        ("::", ("10.1.2.3", "172.17.0.1", "fd00::5"), "10.1.2.3"),
        ("0:0:0:0:0:0:0:0", ("10.1.2.3", "172.17.0.1", "fd00::5"), "10.1.2.3"),
    ],
)
def test_a_host_of_this_machine_is_its_addresses_and_known_by_no_other_name(machine, host, addresses, name):
    place = place_of(host, None)
    assert place.addresses == addresses
    assert place.name == name
    assert place.open_to_others()
    assert set(place.names()) == {"127.0.0.1", "localhost", "workstation", name, *addresses}


@pytest.mark.parametrize("host", ["127.0.0.2", "::1"])
def test_another_address_of_loopback_is_served_and_is_not_open_to_others(machine, host):
    place = place_of(host, None)
    assert place.addresses == (host,)
    assert not place.open_to_others()


@pytest.mark.parametrize(
    "host", ["other.example", "203.0.113.9", "fe80::1", "224.0.0.1", "no such name", "", "http://10.1.2.3", "*"]
)
def test_a_host_that_is_not_of_this_machine_is_refused_with_those_that_are(machine, host):
    with pytest.raises(AddressError) as refused:
        place_of(host, None)
    for part in (repr(host), "expected", "10.1.2.3", "0.0.0.0", "ive "):
        assert part in str(refused.value)


def test_a_name_that_means_loopback_is_refused_since_nobody_else_can_reach_it(machine):
    with pytest.raises(AddressError, match="nobody else can reach that; expected one of 10"):
        place_of("workstation", None)


def test_all_addresses_of_a_machine_that_has_none_are_refused(machine, monkeypatch):
    monkeypatch.setattr(listeners, "machine_addresses", lambda: ())
    with pytest.raises(AddressError, match="no address that others can reach"):
        place_of("0.0.0.0", None)


@pytest.mark.parametrize("port", [-1, 0, 65536])
def test_a_port_that_is_none_is_refused(machine, port):
    with pytest.raises(AddressError, match=f"{port} is none; expected 1 to 65535"):
        place_of("127.0.0.1", port)


def closed(sockets):
    """Close sockets; returns where each listened."""
    places = [one.getsockname()[:2] for one in sockets]
    for one in sockets:
        one.close()
    return places


def test_all_addresses_have_one_port_also_where_the_preferred_one_is_taken_on_one_of_them():
    with socket.create_server(("127.0.0.2", 0)) as other:
        taken = other.getsockname()[1]
        places = closed(bound_sockets(Place("x", ("127.0.0.2",)), taken))
    assert [address for address, _ in places] == ["127.0.0.1", "127.0.0.2"]
    assert len({port for _, port in places}) == 1
    assert places[0][1] != taken


def test_a_named_port_that_is_taken_is_refused_with_who_has_it_and_never_replaced():
    with socket.create_server(("127.0.0.2", 0)) as other:
        taken = other.getsockname()[1]
        with pytest.raises(AddressError) as refused:
            bound_sockets(Place("x", ("127.0.0.2",), port=taken, option="--prefect-port"), 5000)
        with socket.create_server(("127.0.0.1", taken)):  # what was bound before was given back
            pass
    assert f"Port {taken} is taken (process " in str(refused.value)
    assert "--prefect-port" in str(refused.value)


def test_an_address_that_the_machine_has_lost_is_refused():
    with pytest.raises(AddressError, match=r"203\.0\.113\.9 cannot be listened on"):
        bound_sockets(Place("203.0.113.9", ("203.0.113.9",)), 0)


def test_a_port_of_the_systems_is_refused(monkeypatch):
    def refuse(*arguments):
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(listeners, "_listening", refuse)
    with pytest.raises(AddressError, match="below 1024 are the system's"):
        bound_sockets(Place(port=80), 5000)
