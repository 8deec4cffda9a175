"""Authlib as a relying app: one local sign-in without a browser, tokens validated by Authlib and joserfc.

Reads {"issuer", "ca", "client_id", "client_secret", "redirect_uri", "username", "password"} from standard input, and
prints what the app learned as JSON.
"""

import json
import sys
from html.parser import HTMLParser
from urllib.parse import urljoin

from authlib.common.security import generate_token
from authlib.integrations.requests_client import OAuth2Session
from authlib.oidc.core import CodeIDToken, UserInfo
from joserfc import jwt
from joserfc.jwk import KeySet
import requests

TIMEOUT = 15


class FormReader(HTMLParser):
    """The form that holds a password field: its address and fields."""

    def __init__(self):
        super().__init__()
        self.forms = []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if tag == "form":
            self.forms.append((attributes["action"], {}))
        elif tag == "input" and self.forms and "name" in attributes:
            self.forms[-1][1][attributes["name"]] = attributes.get("value") or ""

    def password_form(self):
        return next(form for form in self.forms if "password" in form[1])


def loopback(session, wanted):
    """Trusts this run's authority alone, and uses no proxy of the machine."""
    session.trust_env = False
    session.verify = wanted["ca"]
    return session


def sign_in(wanted, start):
    """Does what a browser would: follows redirects, fills in the form; gives the address of the callback."""
    browser = loopback(requests.Session(), wanted)
    page = browser.get(start, timeout=TIMEOUT)
    page.raise_for_status()
    reader = FormReader()
    reader.feed(page.text)
    action, fields = reader.password_form()
    fields |= {"username": wanted["username"], "password": wanted["password"]}
    answer = browser.post(urljoin(page.url, action), data=fields, allow_redirects=False, timeout=TIMEOUT)
    for _ in range(10):
        location = urljoin(answer.url, answer.headers["location"])
        if location.startswith(wanted["redirect_uri"] + "?"):
            return location
        answer = browser.get(location, allow_redirects=False, timeout=TIMEOUT)
    raise RuntimeError("too many redirects")


def main():
    wanted = json.load(sys.stdin)
    plain = loopback(requests.Session(), wanted)
    metadata = plain.get(wanted["issuer"] + "/.well-known/openid-configuration", timeout=TIMEOUT).json()
    assert metadata["issuer"] == wanted["issuer"], metadata

    app = OAuth2Session(
        wanted["client_id"],
        wanted["client_secret"],
        scope="openid profile email offline_access",
        redirect_uri=wanted["redirect_uri"],
        token_endpoint_auth_method="client_secret_basic",
        code_challenge_method="S256",
    )
    loopback(app, wanted)
    verifier, nonce = generate_token(48), generate_token(24)
    start, state = app.create_authorization_url(
        metadata["authorization_endpoint"], code_verifier=verifier, nonce=nonce
    )
    callback = sign_in(wanted, start)
    tokens = app.fetch_token(
        metadata["token_endpoint"],
        authorization_response=callback,
        state=state,
        code_verifier=verifier,
        timeout=TIMEOUT,
    )
    keys = KeySet.import_key_set(plain.get(metadata["jwks_uri"], timeout=TIMEOUT).json())
    decoded = jwt.decode(tokens["id_token"], keys, algorithms=["RS256"])
    claims = CodeIDToken(
        decoded.claims,
        decoded.header,
        {"iss": {"value": wanted["issuer"]}, "aud": {"value": wanted["client_id"]}, "nonce": {"value": nonce}},
        {"nonce": nonce, "client_id": wanted["client_id"], "access_token": tokens["access_token"]},
    )
    claims.validate(leeway=5)
    access = jwt.decode(tokens["access_token"], keys, algorithms=["ES256"])
    userinfo = UserInfo(app.get(metadata["userinfo_endpoint"], timeout=TIMEOUT).json())
    renewed = app.refresh_token(metadata["token_endpoint"], timeout=TIMEOUT)
    json.dump(
        {
            "claims": decoded.claims,
            "access_header": access.header,
            "access": access.claims,
            "userinfo": userinfo,
            "renewed": renewed["refresh_token"] != tokens["refresh_token"],
        },
        sys.stdout,
    )


main()
