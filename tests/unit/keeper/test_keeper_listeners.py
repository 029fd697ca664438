"""Where traces go is checked before anything is started."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from fairlead.errors import Conflict, Invalid
from fairlead.keeper.listeners import check_listeners, split
from fairlead.settings import Settings, load


@pytest.mark.parametrize(
    "url", ["collector:4318", "ftp://collector", "http://", "http://ada:pw@collector", "http://a:x", "http://a/?key=1"]
)
def test_what_is_no_collector_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(Invalid) as refused:
        check_listeners(Settings(home=tmp_path, listen="127.0.0.1:18098", devices="127.0.0.1:18097", otlp=url))

    assert refused.value.code == "otlp"
    assert "pw" not in refused.value.message


def test_the_common_variable_names_the_collector_unless_ours_does(tmp_path: Path) -> None:
    common = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://common:4318"}

    assert load({"home": tmp_path}, common).otlp == "http://common:4318"
    assert load({"home": tmp_path}, common | {"FAIRLEAD_OTLP": "http://ours:4318"}).otlp == "http://ours:4318"
    assert load({"home": tmp_path}, {}).otlp is None


def test_an_access_log_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="access_log"):
        load({"home": tmp_path}, {"FAIRLEAD_ACCESS_LOG": "some"})


def test_one_address_for_both_doors_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="both") as refused:
        check_listeners(Settings(home=tmp_path, listen="127.0.0.1:18098", devices="127.0.0.1:18098"))

    assert refused.value.code == "address_invalid"


def test_every_address_that_is_taken_is_named_with_a_command_of_this_home(tmp_path: Path) -> None:
    with socket.socket() as one, socket.socket() as two:
        for taken in (one, two):
            taken.bind(("127.0.0.1", 0))
            taken.listen()
        front, mqtt = (f"127.0.0.1:{taken.getsockname()[1]}" for taken in (one, two))
        with pytest.raises(Conflict) as refused:
            check_listeners(Settings(home=tmp_path, listen=front, devices=mqtt))

    assert refused.value.code == "port_in_use"
    assert front in refused.value.message
    assert mqtt in refused.value.message
    command = f"fairlead up --home {tmp_path} --listen 127.0.0.1:PORT --devices 127.0.0.1:PORT"
    assert command in refused.value.hint


def test_an_address_that_is_free_stays_as_it_was_given(tmp_path: Path) -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        free = "127.0.0.2:18097"
        with pytest.raises(Conflict) as refused:
            check_listeners(Settings(home=tmp_path, listen=free, devices=f"127.0.0.1:{one.getsockname()[1]}"))

    assert f"--listen {free} --devices 127.0.0.1:PORT" in refused.value.hint


@pytest.mark.parametrize("port", ["\u00b2", "9" * 5000, "70000", "0", ""])
def test_what_is_no_port_is_refused_in_words(port: str) -> None:
    with pytest.raises(Invalid) as refused:
        split("--listen", f"127.0.0.1:{port}")
    assert refused.value.code == "address_invalid"
