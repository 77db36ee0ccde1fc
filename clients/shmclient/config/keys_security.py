"""Keys about TLS, SASL and OAuth: checked, then without effect on one host.

Who may attach is decided by the permissions of the runtime directory and by the peer's credentials, which the
kernel vouches for (SO_PEERCRED).
"""

from __future__ import annotations

from shmclient.config.key import INT32_MAX, Key, choice, flag, function, integer, text, unsettable

_LOCAL = "File permissions and the kernel's peer credentials guard a local daemon."


def _unused(
    name: str,
    doc: str,
    default: str | None = None,
    aliases: tuple[str, ...] = (),
    deprecated: bool = False,
) -> Key:
    return text(name, doc, default, aliases=aliases, deprecated=deprecated, note=_LOCAL)


KEYS: tuple[Key, ...] = (
    choice(
        "security.protocol",
        "plaintext",
        ("plaintext", "ssl", "sasl_plaintext", "sasl_ssl"),
        "How connections are encrypted and authenticated.",
        note=_LOCAL,
    ),
    _unused("ssl.cipher.suites", "The TLS cipher suites to offer."),
    _unused("ssl.curves.list", "The elliptic curves to offer."),
    _unused("ssl.sigalgs.list", "The signature algorithms to offer."),
    _unused("ssl.key.location", "The file of the client's private key."),
    _unused("ssl.key.password", "The passphrase of the client's private key."),
    _unused("ssl.key.pem", "The client's private key as text."),
    _unused("ssl.certificate.location", "The file of the client's certificate."),
    _unused("ssl.certificate.pem", "The client's certificate as text."),
    _unused("ssl.ca.location", "The file or directory of the certificates that brokers are checked against."),
    _unused("ssl.ca.pem", "Those certificates as text."),
    _unused("ssl.ca.certificate.stores", "The Windows stores those certificates come from.", "Root"),
    _unused("ssl.crl.location", "The file of revoked certificates."),
    _unused("ssl.keystore.location", "The client's PKCS#12 keystore."),
    _unused("ssl.keystore.password", "The passphrase of that keystore."),
    _unused("ssl.providers", "The OpenSSL providers to load."),
    _unused("ssl.engine.location", "The OpenSSL engine to load.", deprecated=True),
    _unused("ssl.engine.id", "The name of that engine.", "dynamic"),
    flag(
        "enable.ssl.certificate.verification",
        True,
        "Whether brokers' certificates are verified.",
        note=_LOCAL,
    ),
    choice(
        "ssl.endpoint.identification.algorithm",
        "https",
        ("none", "https"),
        "Whether a certificate must name the broker's host.",
        note=_LOCAL,
    ),
    _unused(
        "https.ca.location",
        "The file or directory of the certificates that HTTPS servers are checked against.",
    ),
    _unused("https.ca.pem", "Those certificates as text."),
    _unused(
        "sasl.mechanism",
        "The SASL mechanism: one name, without spaces or commas.",
        "GSSAPI",
        aliases=("sasl.mechanisms",),
    ),
    _unused("sasl.username", "The user name for PLAIN and SCRAM."),
    _unused("sasl.password", "The password for PLAIN and SCRAM."),
    _unused("sasl.kerberos.service.name", "The Kerberos name of the broker's service.", "kafka"),
    _unused("sasl.kerberos.principal", "The client's Kerberos principal.", "kafkaclient"),
    _unused("sasl.kerberos.kinit.cmd", "The command that fetches a Kerberos ticket."),
    _unused("sasl.kerberos.keytab", "The file of Kerberos keys for that command."),
    integer(
        "sasl.kerberos.min.time.before.relogin",
        60000,
        0,
        86400000,
        "The least time between two of these commands.",
        note=_LOCAL,
    ),
    function(
        "oauth_cb",
        "Called to fetch an OAuth token.",
        note="Kept for a Kafka cluster; a local daemon asks for no token.",
    ),
    choice(
        "sasl.oauthbearer.method",
        "default",
        ("default", "oidc"),
        "How OAuth tokens are obtained.",
        note=_LOCAL,
    ),
    flag(
        "enable.sasl.oauthbearer.unsecure.jwt",
        False,
        "Whether unsigned tokens are made up for tests.",
        note=_LOCAL,
    ),
    flag("enable_sasl_queue", False, "Whether token requests have a queue of their own.", note=_LOCAL),
    _unused("sasl.oauthbearer.config", "Settings of the token handler."),
    _unused(
        "sasl.oauthbearer.client.id",
        "The client's id at the identity provider.",
        aliases=("sasl.oauthbearer.client.credentials.client.id",),
    ),
    _unused(
        "sasl.oauthbearer.client.secret",
        "The client's secret at the identity provider.",
        aliases=("sasl.oauthbearer.client.credentials.client.secret",),
    ),
    _unused("sasl.oauthbearer.scope", "The scope to ask for."),
    _unused("sasl.oauthbearer.extensions", "Further facts for the broker, as key=value pairs."),
    _unused("sasl.oauthbearer.token.endpoint.url", "Where tokens are fetched."),
    _unused("sasl.oauthbearer.sub.claim.name", "Which claim of a token names its owner.", "sub"),
    choice(
        "sasl.oauthbearer.grant.type",
        "client_credentials",
        ("client_credentials", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
        "The kind of grant to ask for.",
        note=_LOCAL,
    ),
    choice(
        "sasl.oauthbearer.assertion.algorithm",
        "RS256",
        ("RS256", "ES256"),
        "How an assertion is signed.",
        note=_LOCAL,
    ),
    _unused("sasl.oauthbearer.assertion.private.key.file", "The file of the key that signs assertions."),
    _unused("sasl.oauthbearer.assertion.private.key.passphrase", "The passphrase of that key."),
    _unused("sasl.oauthbearer.assertion.private.key.pem", "That key as text."),
    _unused("sasl.oauthbearer.assertion.file", "A file that holds a ready assertion."),
    _unused("sasl.oauthbearer.assertion.claim.aud", "The audience an assertion names."),
    _unused("sasl.oauthbearer.assertion.claim.iss", "The issuer an assertion names."),
    _unused("sasl.oauthbearer.assertion.claim.sub", "The subject an assertion names."),
    _unused(
        "sasl.oauthbearer.assertion.jwt.template.file", "A file with the header and claims of an assertion."
    ),
    integer(
        "sasl.oauthbearer.assertion.claim.exp.seconds",
        300,
        1,
        INT32_MAX,
        "How long an assertion is valid.",
        note=_LOCAL,
    ),
    integer(
        "sasl.oauthbearer.assertion.claim.nbf.seconds",
        60,
        0,
        INT32_MAX,
        "How far back an assertion's validity starts.",
        note=_LOCAL,
    ),
    flag(
        "sasl.oauthbearer.assertion.claim.jti.include",
        False,
        "Whether an assertion carries a random id.",
        note=_LOCAL,
    ),
    choice(
        "sasl.oauthbearer.metadata.authentication.type",
        "none",
        ("none", "azure_imds", "aws_iam"),
        "Whether a cloud's metadata service vouches for the client.",
        note=_LOCAL,
    ),
    unsettable("ssl_key", "Use `ssl.key.pem`."),
    unsettable("ssl_certificate", "Use `ssl.certificate.pem`."),
    unsettable("ssl_ca", "Use `ssl.ca.pem`."),
    unsettable("ssl_engine_callback_data", "OpenSSL engines are not used."),
    unsettable("ssl.certificate.verify_cb", "TLS is not used."),
    unsettable("oauthbearer_token_refresh_cb", "Use `oauth_cb`."),
)
