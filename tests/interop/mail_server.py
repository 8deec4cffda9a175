"""A mail server for the tests (aiosmtpd): asks for STARTTLS and a password, and prints each mail as a line of JSON.

    mail_server.py PORT CERTIFICATE KEY USERNAME PASSWORD
"""

import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult


class Printer:
    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        body = message.get_body(("plain",))
        html = message.get_body(("html",))
        mail = {
            "to": envelope.rcpt_tos,
            "from": envelope.mail_from,
            "subject": message["Subject"],
            "header_to": message["To"],
            "text": body.get_content(),
            "html": html.get_content(),
            "defects": [repr(defect) for part in message.walk() for defect in part.defects],
            "tls": session.ssl is not None,
        }
        print(json.dumps(mail), flush=True)
        return "250 OK"


def main():
    port, certificate, key, username, password = sys.argv[1:]

    def authenticate(server, session, envelope, mechanism, data):
        good = (data.login, data.password) == (username.encode(), password.encode())
        return AuthResult(success=good, handled=good)

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    controller = Controller(
        Printer(),
        hostname="127.0.0.1",
        port=int(port),
        tls_context=context,
        require_starttls=True,
        authenticator=authenticate,
        auth_required=True,
    )
    controller.start()
    print(json.dumps({"ready": True}), flush=True)
    try:
        sys.stdin.read()
    finally:
        controller.stop()


main()
