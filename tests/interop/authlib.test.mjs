// PyPI Authlib as a second app, whose authors read the standards apart from those of openid-client.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, before, test } from "node:test";

import { pki, required } from "./lib/net.mjs";
import { password, startWorld } from "./lib/world.mjs";

let world;
before(async () => {
  world = await startWorld("sqlite");
});
after(() => world?.stop());

function runApp(wanted) {
  return new Promise((resolve, reject) => {
    const child = execFile(required("INTEROP_PYTHON"), ["authlib_app.py"], { timeout: 60_000 }, (error, out, trouble) =>
      error ? reject(new Error(trouble || error.message)) : resolve(JSON.parse(out)),
    );
    child.stdin.end(JSON.stringify(wanted));
  });
}

test("Authlib signs somebody in, validates the tokens, reads userinfo and refreshes", async () => {
  const learned = await runApp({
    issuer: world.broker.issuer,
    ca: `${pki}/ca.pem`,
    client_id: "authlib",
    client_secret: "authlib-secret-0123456789",
    redirect_uri: "https://127.0.0.1:1/callback",
    username: "carol",
    password,
  });
  assert.match(learned.claims.sub, /^acc_/);
  assert.equal(learned.userinfo.sub, learned.claims.sub);
  assert.equal(learned.userinfo.email, "carol@acme.test");
  assert.equal(learned.access_header.typ.toLowerCase(), "at+jwt");
  assert.equal(learned.access.sub, learned.claims.sub);
  assert.equal(learned.access.client_id, "authlib");
  assert.equal(learned.renewed, true);
});
