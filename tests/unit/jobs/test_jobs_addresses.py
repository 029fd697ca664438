"""Where callbacks may go."""

from __future__ import annotations

import ipaddress

import pytest

from fairlead.errors import Invalid
from fairlead.jobs.addresses import Allowed, check, is_public, parse

NONE = Allowed()


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.org/jobs?x=1",
        "http://example.org:8080",
        "https://93.184.216.34/",
        "https://[2606:2800:220:1::1]/x",
        "https://HOOKS.Example.org./",
    ],
)
def test_the_internet_is_reached(url: str) -> None:
    assert check(url, NONE).scheme in url


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "192.88.99.1",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:93.184.216.34]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[2001::1]",
        "[fe80::1]",
        "[fc00::1]",
        "[ff02::1]",
        "[2001:db8::1]",
        "localhost",
        "LOCALHOST.",
        "db",
        "x.localhost",
        "metadata.google.internal",
        "printer.local",
        "1.2.3.4.5",
    ],
)
def test_what_is_near_is_refused_however_it_is_written(host: str) -> None:
    with pytest.raises(Invalid) as caught:
        check(f"https://{host}/x", NONE)
    assert caught.value.code == "callback_private"
    assert caught.value.hint


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example.org",
        "//hooks.example.org",
        "ftp://example.org",
        "file:///etc/passwd",
        "https://",
        "https:///x",
        "https://user:secret@example.org",
        "https://example.org:99999",
        "https://example.org:x",
        "https://exa mple.org",
        "https://example.org\\@127.0.0.1",
        "https://example.org\n.evil",
        "https://exämple.org",
        "https://[::1",
        "https://[fe80::1%25eth0]/",
        "https://-.example.org/" + "x" * 2000,
    ],
)
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(Invalid) as caught:
        check(url, NONE)
    assert caught.value.code == "callback_invalid"


def test_the_installation_names_private_hosts() -> None:
    allowed = Allowed.parse("hooks.lan, DB ,10.0.3.0/24, ::1")
    near = ipaddress.ip_address("192.168.0.7")
    assert check("http://hooks.lan/x", allowed).host == "hooks.lan"
    assert allowed.reaches("hooks.lan", near)
    assert check("http://10.0.3.9", allowed).host == "10.0.3.9"
    assert check("http://[::1]:80", allowed).authority == "[::1]"
    assert allowed.reaches("anything.example.org", ipaddress.ip_address("10.0.3.1"))
    assert not allowed.reaches("other.lan", near)
    with pytest.raises(Invalid):
        check("http://10.0.4.9", allowed)
    with pytest.raises(Invalid):
        check("http://sub.hooks.lan", allowed)


@pytest.mark.parametrize("text", ["10.0.3.1/24", "https://x", "a b", "300.0.0.1"])
def test_a_setting_that_names_no_host_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        Allowed.parse(text)
    assert caught.value.code == "settings_invalid"


def test_a_url_is_put_together_from_its_parts() -> None:
    target = parse("https://Hooks.Example.org:8443/a/b?c=d#e")
    assert (target.host, target.port, target.path) == ("hooks.example.org", 8443, "/a/b?c=d")
    assert target.at(ipaddress.ip_address("93.184.216.34")) == "https://93.184.216.34:8443/a/b?c=d"
    assert target.at(ipaddress.ip_address("2606::1")) == "https://[2606::1]:8443/a/b?c=d"
    assert target.authority == "hooks.example.org:8443"
    assert is_public(ipaddress.ip_address("2606::1"))
