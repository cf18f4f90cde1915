"""Check that the tests run on the intended build of the codec, pure or compiled."""

import os

import amqp_codec.decoder
import amqp_codec.protocol.basic


def test_the_build_under_test_is_the_one_that_was_asked_for() -> None:
    """Row C7. `hatch run compiled` runs the tests of the client and the fake broker on it, too."""
    compiled = bool(os.environ.get("AMQP_CODEC_COMPILED"))

    for module in (amqp_codec.decoder, amqp_codec.protocol.basic):
        assert module.__file__ is not None
        assert module.__file__.endswith(".py") != compiled
