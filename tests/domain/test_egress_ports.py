import pytest

from duly.domain.egress_ports import GUARDED_PORTS, RECEIVER_PORTS, parse_ports


def test_single_ports_and_ranges_are_read_and_shown_in_order() -> None:
    ports = parse_ports(" 8000-8002 ,443,, 80,8002")
    assert [port for port in range(65536) if port in ports] == [80, 443, 8000, 8001, 8002]
    assert str(ports) == "80, 443, 8000-8002, 8002"


@pytest.mark.parametrize("port", sorted(GUARDED_PORTS))
def test_a_guarded_port_is_opened_by_its_own_name_and_by_no_range(port: int) -> None:
    assert port not in RECEIVER_PORTS
    assert port not in parse_ports("1-65535")
    assert port not in parse_ports(f"{port}-{port}")
    assert port in parse_ports(f"443,{port}")


def test_of_the_ports_below_1024_only_those_of_http_are_open_by_default() -> None:
    assert [port for port in range(1024) if port in RECEIVER_PORTS] == [80, 443]
    assert {port for port in range(1024, 65536) if port not in RECEIVER_PORTS} == GUARDED_PORTS
    assert 65536 not in RECEIVER_PORTS


def test_no_port_at_all_may_be_named() -> None:
    assert not any(port in parse_ports("") for port in range(65536))


@pytest.mark.parametrize(
    "entry",
    ["http", "0", "65536", "-1", "80-", "-80", "90-80", "1-2-3", "80.0", "８０", "+80", "8 0"],  # noqa: RUF001 - such digits are the point
)
def test_what_is_no_port_is_named_in_the_error(entry: str) -> None:
    with pytest.raises(ValueError, match="is not a port from 1 to 65535, or a range") as raised:
        parse_ports(f"443,{entry}")
    assert repr(entry) in str(raised.value)
