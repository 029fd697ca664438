"""Cookies at a real Envoy: only pages of the very host that is asked use one for more than reading (S-43)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import msgspec
import pytest
from tests.process.test_front_door import House, build, model, refused

from fairlead.gateway import DoorState
from fairlead.messages import ExtraRoute, PageRoute

JSON_AS_TEXT = {"content_type": "text/plain"}
"""What a page of another site may send without asking first."""
MODELS = (
    "/v1/models/flowers/predict",
    "/v1/models/flowers@1/predict",
    "/v1/models/flowers:predict",
    "/v1/models/flowers/explain",
    "/v1/models/open/predict",
    "/v1/models/flowers/jobs",
    "/flights/delay",
    "/api/v1/tokens",
)


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with ExitStack() as stack:
        made = build(stack)
        made.door = msgspec.structs.replace(made.door, public_per_s=1000, public_burst=1000)
        one = made.echo("one")
        extra = (ExtraRoute("/flights/delay", ("GET", "POST"), "explain"),)
        made.state = DoorState(
            jwks=made.keys.jwks(),
            routes=(model("flowers", entries=("explain",), extra=extra), model("open", visibility="public")),
            pages=(
                PageRoute(name="night", run="run-1", visibility="team", owner="ada"),
                PageRoute(name="fair", run="run-3", visibility="public", owner="ada"),
            ),
            endpoints={"flowers@1": (one,), "open@1": (one,)},
            page_endpoints={"run-1": one, "run-3": one},
        )
        made.start()
        yield made


def cookie(house: House, name: str = "fl_session") -> dict[str, str]:
    return {"cookie": f"a=b; {name}={house.token().removeprefix('fl_')}"}


def foreign(house: House) -> list[dict[str, str]]:
    """What browsers send of pages that are not the front door's, and what would only look like it."""
    port = house.door.listen.rpartition(":")[2]
    origins = (
        *("null", "http://evil.example", f"http://night.apps.localhost:{port}", f"https://127.0.0.1:{port}"),
        *(f"http://127.0.0.1:{port}.evil.example", f"http://evil.127.0.0.1:{port}", "http://127.0.0.1", "http://", ""),
        *(f"http://x127.0.0.1:{port}"[:-1], f"http:/{port}/127.0.0.1:{port}", f"{house.door.url}, http://evil.example"),
    )
    return [
        {},
        *({"origin": origin} for origin in origins),
        {"referer": f"{house.door.url}/"},
        *({"sec_fetch_site": site} for site in ("same-site", "cross-site", "none")),
        {"origin": "http://evil.example", "authorization": "Basic YTpi"},
    ]


@pytest.mark.parametrize("path", MODELS)
def test_s43_another_sites_page_calls_no_model_by_the_cookie(house: House, path: str) -> None:
    for headers in foreign(house):
        sent = {**JSON_AS_TEXT, **cookie(house), **headers}
        refused(house.call("POST", path, body=b"{}", **sent), 403, "origin_refused")
    for method in ("PUT", "PATCH", "DELETE", "PROPFIND"):
        assert house.call(method, path, **cookie(house)).status == 403, method


def test_s43_below_v2_it_is_refused_in_the_words_of_that_protocol(house: House) -> None:
    answer = house.call("POST", "/v2/models/flowers/infer", body=b"{}", **cookie(house), origin="http://evil.example")
    assert answer.status == 403
    assert "another site" in answer.json["error"]


@pytest.mark.parametrize("path", MODELS)
def test_the_front_doors_own_pages_call_models_by_the_cookie(house: House, path: str) -> None:
    port = house.door.listen.rpartition(":")[2]
    assert house.call("POST", path, body=b"{}", **cookie(house), origin=house.door.url).status == 200
    assert house.call("POST", path, body=b"{}", **cookie(house), sec_fetch_site="same-origin").status == 200
    other = {"host": f"localhost:{port}", "origin": f"http://localhost:{port}"}
    assert house.call("POST", path, body=b"{}", **cookie(house), **other).status == 200


def test_a_token_in_a_header_is_asked_for_no_origin(house: House) -> None:
    token = house.token()
    for headers in ({}, {"origin": "http://evil.example"}, {"origin": "null"}):
        assert house.predict("flowers", token, **headers).status == 200
        assert house.predict("flowers", x_api_key=token, **headers).status == 200
        assert house.predict("flowers", token, **cookie(house), **headers).status == 200, "no page can send both"
        assert house.predict("open", **headers).status == 200, "nobody's cookie is used"


def test_reading_by_the_cookie_takes_no_origin(house: House) -> None:
    for path in ("/v1/models/flowers/docs", "/api/v1/models", "/flights/delay"):
        assert house.call("GET", path, **cookie(house)).status == 200
        assert house.call("GET", path, **cookie(house), origin="http://evil.example").status == 200


@pytest.mark.parametrize("page", ["night", "fair"])
def test_s43_a_page_takes_changes_from_itself_alone(house: House, page: str) -> None:
    host = f"{page}.apps.localhost"
    own = {"origin": f"http://{host}"}
    assert house.call("POST", "/", host=host, body=b"{}", **cookie(house), **own).status == 200
    assert (
        house.call("POST", "/", host=f"{host}:80", body=b"{}", **cookie(house), origin=f"http://{host}:80").status
        == 200
    )
    for headers in ({}, {"origin": "http://other.apps.localhost"}, {"origin": f"http://x.{host}"}):
        refused(house.call("POST", "/", host=host, body=b"{}", **cookie(house), **headers), 403, "origin_refused")
        join = {"connection": "Upgrade", "upgrade": "WebSocket", **headers}
        refused(house.call("GET", "/live", host=host, **cookie(house), **join), 403, "origin_refused")


def test_s43_under_tls_no_page_of_a_subdomain_plants_a_session(house: House) -> None:
    """Only the name that a browser takes from the host itself is read."""
    with ExitStack() as stack:
        behind = build(stack)
        one = behind.echo("one")
        behind.door = msgspec.structs.replace(behind.door, url="https://lead.example")
        behind.state = msgspec.structs.replace(house.state, jwks=behind.keys.jwks(), endpoints={"flowers@1": (one,)})
        behind.state = msgspec.structs.replace(behind.state, page_endpoints={"run-1": one, "run-3": one})
        behind.start()
        locked, plain = cookie(behind, "__Host-fl_session"), cookie(behind)
        for origin in ("https://lead.example", f"https://{behind.door.listen}"):
            assert behind.predict("flowers", **locked, origin=origin).status == 200
            refused(behind.predict("flowers", **plain, origin=origin), 401, "token_required")
        refused(behind.predict("flowers", **locked, origin=f"http://{behind.door.listen}"), 403, "origin_refused")
        both = {"cookie": f"{plain['cookie']}; {locked['cookie']}"}
        seen = behind.call("GET", "/", host="night.apps.localhost", **both).json
        assert seen["headers"]["x-fairlead-user"] == "ada"
        assert seen["headers"]["cookie"] == "a=b; a=b", "neither name reaches a page"
        led = behind.call("GET", "/api/v1/models", accept="text/html", **plain)
        assert led.headers["set-cookie"].startswith("__Host-fl_session=; Path=/; Max-Age=0;")
        assert "; Secure" in led.headers["set-cookie"]
        assert "domain" not in led.headers["set-cookie"].lower()
