"""Parsing AMQP URLs."""

import asyncio
import traceback
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import aioamqp
from aioamqp.tls import TlsSettings
from aioamqp.uri import AmqpUrl, parse_url


def test_a_url_is_split_into_its_parts() -> None:
    url = parse_url("amqps://me:secret@rabbit.example:1234/shop")

    assert url == AmqpUrl(True, "rabbit.example", 1234, "me", "secret", "shop")


def test_missing_parts_of_a_url_have_defaults() -> None:
    assert parse_url("amqp://") == AmqpUrl(False, "localhost", None, "guest", "guest", "/")


@pytest.mark.parametrize(
    ("path", "virtualhost"),
    [
        ("", "/"),
        ("/", "/"),
        ("//", "/"),
        ("/a", "a"),
        ("/a/b", "a/b"),
        ("/%2F", "/"),
        ("/a%2Fb", "a/b"),
    ],
)
def test_the_virtual_host_is_what_follows_the_first_slash(path: str, virtualhost: str) -> None:
    assert parse_url(f"amqp://host{path}").virtualhost == virtualhost


def test_user_name_and_password_are_percent_decoded() -> None:
    url = parse_url("amqp://m%40e:p%3A%2Fs%25@host/")

    assert (url.login, url.password) == ("m@e", "p:/s%")


def test_an_ipv6_address_is_a_host() -> None:
    url = parse_url("amqp://[::1]:5673/")

    assert (url.host, url.port) == ("::1", 5673)


def test_the_scheme_may_be_in_capitals() -> None:
    assert parse_url("AMQPS://host").is_secure


def test_query_parameters_are_options() -> None:
    url = parse_url("amqp://h/?heartbeat=0&frame_max=8192&channel_max=10&connection_timeout=1500")

    assert url.options == {
        "heartbeat": 0,
        "frame_max": 8192,
        "channel_max": 10,
        "connection_timeout": 1.5,
    }


def test_options_that_a_url_does_not_name_are_left_out() -> None:
    assert parse_url("amqp://h/?heartbeat=5").options == {"heartbeat": 5}


@pytest.mark.parametrize(
    ("url", "names"),
    [
        ("http://host", "http"),
        ("host:5672", "amqp://"),
        ("amqp://h:port/", "port"),
        ("amqp://h:99999/", "0 to 65535"),
        ("amqp://h/?hartbeat=5", "hartbeat"),
        ("amqp://h/?heartbeat=often", "heartbeat"),
        ("amqp://h/?heartbeat=-1", "heartbeat"),
        ("amqp://h/?connection_timeout=nan", "connection_timeout"),
        ("amqp://h/?heartbeat=", "heartbeat"),
        ("amqp://h/?connection_timeout=0", "from 1 up"),
        ("amqp://h/?heartbeat=5&heartbeat=6", "twice"),
        ("amqp://h/?auth_mechanism=kerberos", "plain or amqplain or external"),
        ("amqps://h/?verify=no", "verify_peer or verify_none"),
        ("amqps://h/?cacertfile=", "cacertfile .* empty"),
        ("amqps://h/?keyfile=/k", "needs certfile"),
        ("amqp://h/?verify=verify_none", "verify .* amqps://"),
        ("amqp://h/v#1", "%23"),
        ("amqp://[::1/", "brackets"),
    ],
)
def test_a_url_that_is_wrong_is_refused_with_what_is_wrong(url: str, names: str) -> None:
    with pytest.raises(ValueError, match=names):
        parse_url(url)


def test_the_query_has_tls_parameters() -> None:
    url = parse_url(
        "amqps://h/?cacertfile=/ca%20s/ca.pem&certfile=/me.pem&keyfile=/me.key"
        "&verify=verify_none&server_name_indication=rabbit&auth_mechanism=external"
    )

    assert url.tls == TlsSettings("/ca s/ca.pem", "/me.pem", "/me.key", verify=False)
    assert url.auth_mechanism == "EXTERNAL"
    assert url.options == {"server_hostname": "rabbit"}


def test_verification_is_on_unless_switched_off() -> None:
    assert parse_url("amqps://h").tls.verify
    assert parse_url("amqps://h?verify=verify_peer").tls.verify


def test_a_password_that_looks_like_a_port_is_not_shown() -> None:
    with pytest.raises(ValueError, match="%2F") as caught:
        parse_url("amqp://me:secret/word@host/")

    assert "secret" not in str(caught.value)


def test_the_password_is_not_shown() -> None:
    assert "secret" not in repr(parse_url("amqp://me:secret@host/"))


@pytest.mark.parametrize(
    ("url", "names"),
    [
        # a user name or a password
        ("amqp://me:se[cret@h/", r"contains \[; write it as %5B"),
        ("amqp://me:se]cret@h/", r"contains \]; write it as %5D"),
        ("amqp://me:se/cret@h/", "@ after /, .* write %2F"),
        ("amqp://me:12/cret@h/", "@ after /, .* write %2F"),
        ("amqp://me:se?cret@h/", "@ after \\?, .* write %3F"),
        ("amqp://me:12?cret@h/", "@ after \\?, .* write %3F"),
        ("amqp://me:se#cret@h/", "@ after #, .* write %23"),
        ("amqp://me:12#cret@h/", "@ after #, .* write %23"),
        ("amqp://me:se cret@h/", "a space; write it as %20"),
        ("amqp://me:se\tcret@h/", "a tab; write it as %09"),
        ("amqp://me:se\ncret@h/", "a line break; write it as %0A"),
        ("amqp://me:se\x7fcret@h/", r"U\+007F; write it as %7F"),
        ("amqp://me:se\u00a0cret@h/", r"U\+00A0; write it as %C2%A0"),
        ("amqp://me:se%FFcret@h/", "password .* not UTF-8"),
        ("amqp://m%FFe:secret@h/", "user name .* not UTF-8"),
        ("amqp://me:se%00cret@h/", "%00"),
        ("amqp://:secret@h/", "no user name"),
        ("amqp://me:secret", "port .* number"),
        ("amqp://me:sec:ret", "more than one colon.*%3A"),
        ("amqp://me:secret%40h/", "port .* number"),
        # a scheme
        ("amqp:me:secret@h", "no // after its scheme"),
        ("amqps:me:secret@h", "no // after its scheme"),
        ("amqp:/me:secret@h", "no // after its scheme"),
        ("me:secret@h", "no scheme: it begins with amqp://"),
        ("://me:secret@h", "no scheme: it begins with amqp://"),
        ("//me:secret@h", "no scheme: it begins with amqp://"),
        ("", "no scheme"),
        ("ampq://me:secret@h", "'ampq'; did you mean amqp://"),
        ("amqpss://me:secret@h", "'amqpss'; did you mean amqps://"),
        ("rabbit://me:secret@h", "the scheme 'rabbit'$"),
        (" amqp://me:secret@h", "begins or ends with .* str.strip"),
        ("amqp://me:secret@h\n", "begins or ends with .* str.strip"),
        # a host or a port
        ("amqp://me:secret@::1/", r"more than one colon.*\[::1\]"),
        ("amqp://me:secret@h:1:2/", "more than one colon"),
        ("amqp://me:secret@[::1/", r"\[ without \]"),
        ("amqp://me:secret@[host]/", "no IPv6 address"),
        ("amqp://me:secret@[127.0.0.1]/", "no IPv6 address"),
        ("amqp://me:secret@[::1]5672/", "must be a colon"),
        ("amqp://me:secret@h[1/", r"host .* contains \["),
        ("amqp://me:secret@h%2F/", "host .* contains '/'"),
        ("amqp://me:secret@h%20/", "host .* contains ' '"),
        ("amqp://me:secret@h\u2100/", "host .* contains '/'"),  # a/c in one character
        ("amqp://me:secret@h%FF/", "host .* not UTF-8"),
        ("amqp://me:secret@h:65536/", "0 to 65535"),
        ("amqp://me:secret@h:-1/", "0 to 65535"),
        ("amqp://me:secret@h:5672x/", "0 to 65535"),
        ("amqp://me:secret@h:\u0665/", "0 to 65535"),
        (f"amqp://me:secret@h:{'9' * 5000}/", "0 to 65535"),
        # a virtual host or a query
        ("amqp://me:secret@h/a@b", "an @ after the host is %40"),
        ("amqp://me:secret@h/a#b", "write it as %23"),
        ("amqp://me:secret@h/%FF", "virtual host .* not UTF-8"),
        ("amqp://me:secret@h/a?b", r"unknown query parameter;.* %3F"),
        ("amqp://me:12?secret", "unknown query parameter;"),
        ("amqp://me:secret@h/?hartbeat=5", "'hartbeat'; did you mean heartbeat"),
        ("amqps://me:secret@h/?cacertfile=%FF", "query .* not UTF-8"),
    ],
)
def test_an_odd_part_of_a_url_is_refused_with_its_escape_and_without_the_password(
    url: str, names: str
) -> None:
    """Row U25. Row C8."""
    with pytest.raises(ValueError, match=names) as caught:
        parse_url(url)

    assert not any(part in str(caught.value) for part in ("secret", "cret", "12"))
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("url", [None, b"amqp://h", 5])
def test_a_url_that_is_no_string_is_an_invalid_argument(url: Any) -> None:
    """Row U25."""
    with pytest.raises(aioamqp.InvalidArgument, match=r"url.* must be a string"):
        parse_url(url)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("amqp://me:@h", ("me", "", "h")),  # not guest, as in 0.15
        ("amqp://me@h", ("me", "guest", "h")),
        ("amqp://@h", ("guest", "guest", "h")),
        ("amqp://:@h", ("guest", "guest", "h")),
        ("amqp://me:secret@", ("me", "secret", "localhost")),
        ("amqp://me:secret@:5672", ("me", "secret", "localhost")),
        ("amqp://me:p@ss:w@h", ("me", "p@ss:w", "h")),  # nothing else can be meant
        ("amqp://me:100%@h", ("me", "100%", "h")),
        ("amqp://me:\u00e9@my_host.B", ("me", "\u00e9", "my_host.b")),
        ("amqp://b\u00fccher.example", ("guest", "guest", "b\u00fccher.example")),
        ("amqp://me:secret@[fe80::1%25eth0]:1", ("me", "secret", "fe80::1%eth0")),
    ],
)
def test_an_odd_part_with_one_meaning_is_accepted(url: str, expected: tuple[str, ...]) -> None:
    """Row U25. Row C8."""
    parsed = parse_url(url)

    assert (parsed.login, parsed.password, parsed.host) == expected


async def refuse(*_args: object, **_options: object) -> Any:
    raise ConnectionRefusedError(111, "Connection refused")


async def connect(url: str) -> None:
    with aioamqp.dialing(refuse):
        await aioamqp.from_url(url)


async def connect_to_host(host: str) -> None:
    with aioamqp.dialing(refuse):
        await aioamqp.connect(host)


ODD = st.text(
    st.sampled_from("@:/?#[]%&=+ \t\n\\\"'<>{}|^`;,!$*()~\x00\x7f\u00e9\u2100\udc80"), max_size=3
)


@given(
    ODD, ODD, ODD, st.sampled_from(["Zqj", "7153", ""]), st.sampled_from(["Xwk", "8264"]),
    st.sampled_from(["amqp://{}@h/v", "amqps://{}@h:1", "amqp:{}@h", "amqp:/{}@h", "{}@h/v"]),
)  # fmt: skip
def test_no_error_text_contains_a_part_of_the_password(
    first: str, middle: str, last: str, one: str, two: str, form: str
) -> None:
    """Row C8. Row U4."""
    url = form.format(f"ada:{first}{one}{middle}{two}{last}")
    for connecting in (connect(url), connect_to_host(url)):
        try:
            asyncio.run(connecting)
        except (aioamqp.AioamqpException, ValueError) as error:
            text = "".join(traceback.format_exception(error)) + repr(error)
            assert two not in text
            assert not one or one not in text
