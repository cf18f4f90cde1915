"""Deprecated features: what newer versions of RabbitMQ refuse, or permit with a warning."""

import warnings

from amqp_codec import ReplyCode

from .errors import BrokerError
from .profile import Profile


class DeprecatedFeatureWarning(UserWarning):
    """A program uses a feature that RabbitMQ's own packages of this version refuse by default."""


class DeprecatedFeatures:
    """The check of deprecated features in a broker of one version.

    Args:
        profile: the version.
        denies: whether to refuse what only RabbitMQ's own packages refuse, too.
    """

    def __init__(self, profile: Profile, *, denies: bool = False) -> None:
        self._profile = profile
        self._denies = denies

    def check(self, feature: str, use: str) -> None:
        """Refuse the use of a deprecated feature, or warn of it, as the version does.

        A warning that a filter turns into an error refuses it, too.

        Args:
            feature: its name in RabbitMQ's configuration.
            use: what the client has done, for the warning.

        Raises:
            BrokerError: 541.
        """
        if feature in self._profile.denied_upstream and not self._denies:
            try:
                self.warn(feature, use)
            except DeprecatedFeatureWarning:
                pass
            else:
                return
        elif feature not in self._profile.denied | self._profile.denied_upstream:
            return
        raise BrokerError(
            ReplyCode.INTERNAL_ERROR,
            f"Feature `{feature}` is deprecated.\n"
            "By default, this feature is not permitted anymore.\n"
            "The feature will be removed from a future major RabbitMQ version, regardless of the"
            " configuration; actual version to be determined.\n"
            "To continue using this feature when it is not permitted by default, the following"
            " parameter can be set in the configuration:\n"
            f"    deprecated_features.permit.{feature} = true",
        )

    def warn(self, feature: str, use: str) -> None:
        """Issue the warning of a deprecated feature.

        Raises:
            DeprecatedFeatureWarning: a filter turns it into an error.
        """
        warning = DeprecatedFeatureWarning(
            f"{use} is a deprecated feature: RabbitMQ {self._profile.version} refuses it unless its"
            f" configuration has deprecated_features.permit.{feature} = true"
        )
        warnings.warn(warning, stacklevel=3)
