// A relying app: npm openid-client behind a small HTTPS server.
import * as client from "openid-client";

import { close, freePort, serve } from "./net.mjs";

/** An app at an address of its own; it can be registered before it has looked at the broker. */
export async function startApp(clientId, secret) {
  const app = { clientId, secret, origin: `https://127.0.0.1:${await freePort()}`, pending: new Map(), signIns: [] };
  app.callback = `${app.origin}/callback`;
  app.discover = async (issuer) => {
    app.config = await client.discovery(new URL(issuer), clientId, secret, client.ClientSecretBasic(secret));
  };
  app.server = await serve((request, response) => answer(app, request, response), Number(new URL(app.origin).port));
  app.stop = () => close(app.server);
  return app;
}

function show(response, status, id, text) {
  response.writeHead(status, { "content-type": "text/html; charset=utf-8" });
  response.end(`<!doctype html><html lang="en"><title>${id}</title><h1 id="${id}">${text}</h1></html>`);
}

async function answer(app, request, response) {
  const url = new URL(request.url, app.origin);
  try {
    if (url.pathname === "/login") {
      const parameters = Object.fromEntries(url.searchParams);
      response.writeHead(303, { location: (await authorizationUrl(app, parameters)).href }).end();
    } else if (url.pathname === "/callback") {
      const signIn = await redeem(app, url);
      show(response, 200, "signed-in", `${app.clientId}: ${signIn.claims.sub}`);
    } else {
      show(response, 200, url.pathname.slice(1) || "home", app.clientId);
    }
  } catch (error) {
    show(response, 500, "app-error", `${error.error ?? error.code ?? ""} ${error.message}`);
  }
}

/** Where the app sends the browser. */
export async function authorizationUrl(app, parameters = {}) {
  const verifier = client.randomPKCECodeVerifier();
  const [state, nonce] = [client.randomState(), client.randomNonce()];
  app.pending.set(state, { verifier, nonce });
  return client.buildAuthorizationUrl(app.config, {
    redirect_uri: app.callback,
    scope: "openid profile email",
    code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
    state,
    nonce,
    ...parameters,
  });
}

/** Redeems the code of a callback; openid-client holds the answer and the ID token against the standards. */
async function redeem(app, url) {
  const state = url.searchParams.get("state");
  const { verifier, nonce } = app.pending.get(state) ?? {};
  const tokens = await client.authorizationCodeGrant(app.config, url, {
    pkceCodeVerifier: verifier,
    expectedNonce: nonce,
    expectedState: state,
    idTokenExpected: true,
  });
  const signIn = { tokens, claims: tokens.claims() };
  app.signIns.push(signIn);
  return signIn;
}
