"""Parsing AMQP URLs."""

import pytest

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
