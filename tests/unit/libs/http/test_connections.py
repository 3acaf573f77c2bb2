"""Who is connected, and who makes room: no address and no key has more than its share."""

from collections import Counter
from ipaddress import ip_network

import pytest

from libs.http.connections import Connections, Slot, count_for_project
from libs.http.problems import Problem

_ATTACKER, _OTHER, _VICTIM = "192.0.2.1", "192.0.2.2", "192.0.2.3"


class Party:
    """Connections from several addresses, as fakes; time passes with each that comes."""

    def __init__(self, most: int = 8, share: float = 0.5, proxies: tuple[str, ...] = ()) -> None:
        self.connections = Connections(most, share, [ip_network(one) for one in proxies])
        self.gone: list[str] = []
        self.now = 0

    def comes(self, host: str | None, *, is_at_work: bool = False) -> "FakeConnection":
        self.now += 1
        one = FakeConnection(self, f"{host} {self.now}", is_at_work)
        one.has_place = self.connections.enter(one.slot, one, host)
        return one

    def gone_by_host(self) -> Counter[str]:
        return Counter(name.split()[0] for name in self.gone)


class FakeConnection:
    """Is silent since it came; tells when it was asked to leave."""

    has_place = False

    def __init__(self, party: Party, name: str, is_at_work: bool) -> None:
        self._party = party
        self._name = name
        self.slot = Slot(party.connections)
        self.since = float(party.now)
        self.is_at_work = is_at_work

    def make_room(self) -> None:
        self._party.gone.append(self._name)

    def holds(self, held_bytes: int) -> None:
        self._party.connections.hold(self.slot, held_bytes)

    def leaves(self) -> None:
        self._party.connections.leave(self.slot)


def test_address_makes_room_itself_when_it_has_its_share() -> None:
    party = Party(most=8)
    for _ in range(4):
        party.comes(_ATTACKER)
    party.comes(_VICTIM)
    assert party.gone == []

    assert party.comes(_ATTACKER).has_place

    assert party.gone == [f"{_ATTACKER} 1"], "its longest silent one"


def test_address_is_refused_when_it_has_its_share_and_all_of_it_is_at_work() -> None:
    party = Party(most=8)
    for _ in range(4):
        party.comes(_ATTACKER, is_at_work=True)
    idle = party.comes(_VICTIM)

    assert not party.comes(_ATTACKER).has_place
    assert party.comes(_VICTIM).has_place
    assert party.gone == []
    idle.leaves()


def test_victim_gets_a_place_when_attackers_have_taken_all() -> None:
    party = Party(most=9)
    for number in range(30):
        party.comes((_ATTACKER, _OTHER)[number % 2])

    victims = [party.comes(_VICTIM) for _ in range(3)]

    assert all(one.has_place for one in victims)
    assert party.gone_by_host()[_VICTIM] == 0


def test_address_that_holds_most_makes_room_when_all_places_are_taken() -> None:
    party = Party(most=6, share=0.9)
    first = party.comes(_VICTIM)
    for _ in range(5):
        party.comes(_ATTACKER)

    party.comes(_OTHER)

    assert party.gone == [f"{_ATTACKER} 2"]
    first.leaves()


def test_next_one_makes_room_when_the_address_that_holds_most_is_at_work() -> None:
    party = Party(most=4, share=0.9)
    for _ in range(3):
        party.comes(_ATTACKER, is_at_work=True)
    party.comes(_OTHER)

    assert party.comes(_VICTIM).has_place

    assert party.gone == [f"{_OTHER} 4"]


@pytest.mark.parametrize(
    ("hosts", "is_one"),
    [
        (("2001:db8:1:2::1", "2001:db8:1:2:ffff::2"), True),
        (("2001:db8:1:2::1", "2001:db8:1:3::1"), False),
        (("192.0.2.1", "::ffff:192.0.2.1"), True),
    ],
)
def test_addresses_are_one_when_they_are_of_one_network(
    hosts: tuple[str, str], is_one: bool
) -> None:
    party = Party(most=8)
    for number in range(5):
        party.comes(hosts[number % 2])

    assert bool(party.gone) is is_one


@pytest.mark.parametrize("host", ["10.1.2.3", None])
def test_trusted_proxy_has_no_share(host: str | None) -> None:
    party = Party(most=8, proxies=("10.0.0.0/8",))
    for _ in range(8):
        party.comes(host)
    assert party.gone == []

    party.comes(host)

    assert party.gone == [f"{host} 1"], "there is a number of connections for it too"


def test_place_is_free_again_when_a_connection_has_left() -> None:
    party = Party(most=2)
    first = party.comes(_ATTACKER, is_at_work=True)
    assert not party.comes(_ATTACKER).has_place

    first.leaves()
    first.leaves()

    assert party.comes(_ATTACKER, is_at_work=True).has_place


def test_address_that_keeps_most_in_memory_makes_room() -> None:
    party = Party(most=100)  # 32 KiB for each
    quiet = party.comes(_ATTACKER)
    unread = [party.comes(_ATTACKER) for _ in range(4)]
    party.comes(_VICTIM).holds(400_000)
    for one in unread:
        one.holds(500_000)
    quiet.holds(100_000)

    assert party.gone == [f"{_ATTACKER} 2", f"{_ATTACKER} 3"], "those that hold something"


def test_memory_of_a_connection_is_free_again_when_it_is_read_or_has_left() -> None:
    party = Party(most=100)
    for _ in range(10):
        one = party.comes(_ATTACKER)
        one.holds(1_500_000)
        one.holds(0)
        other = party.comes(_ATTACKER)
        other.holds(1_500_000)
        other.leaves()

    assert party.gone == []


def test_requests_of_a_project_are_refused_when_too_many_are_under_way() -> None:
    party = Party(most=8)
    attacking = [party.comes(f"192.0.2.{number}") for number in range(6)]
    for one in attacking[:4]:
        one.slot.count_for("attacker")

    with pytest.raises(Problem) as caught:
        attacking[4].slot.count_for("attacker")
    party.comes(_VICTIM).slot.count_for("victim")
    for one in attacking[:2]:
        one.slot.answered()
        one.slot.answered()
    attacking[5].slot.count_for("attacker")

    assert (caught.value.status, caught.value.code) == (429, "too_many_under_way")
    assert int(caught.value.headers["Retry-After"]) >= 1


def test_request_is_let_through_when_no_server_knows_its_connection() -> None:
    count_for_project({"type": "http", "state": {}}, "project")
