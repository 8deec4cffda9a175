// The organization's identity provider: npm oidc-provider, with a sign-in page of its own.
import { generateKeyPairSync, randomBytes } from "node:crypto";

import Provider from "oidc-provider";

import { close, freePort, serve } from "./net.mjs";

const people = {
  bob: { email: "bob@acme.test", email_verified: true, name: "Bob Berger", given_name: "Bob", family_name: "Berger" },
};

/** `person7` and `deaf7` have a verified email, `unproven7` one that the provider does not vouch for. */
function find(id) {
  if (people[id]) return people[id];
  const [, kind] = /^(person|unproven|deaf)[0-9]+$/.exec(id) ?? [];
  if (!kind) return undefined;
  const domain = kind === "deaf" ? "initech.test" : "globex.test";
  return { email: `${id}@${domain}`, email_verified: kind !== "unproven", name: "Gerda Groß" };
}

async function readForm(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return new URLSearchParams(Buffer.concat(chunks).toString());
}

const strange = "nobody of that name";

const page = (title, body) => `<!doctype html><html lang="en"><title>${title}</title><h1>${title}</h1>${body}</html>`;

/** Its sign-in page: whoever gives a name that it knows is in; `stranger` finds the broker itself refused. */
function interactions(provider, seen) {
  return async (ctx, next) => {
    if (!ctx.path.startsWith("/interaction/")) return next();
    const { params } = await provider.interactionDetails(ctx.req, ctx.res);
    seen.push(params);
    if (ctx.method === "GET") {
      ctx.body = page(
        "Acme identity provider",
        `<form method="post"><input id="idp-user" name="user" value="${params.login_hint ?? ""}" aria-label="User">
         <button id="idp-sign-in">Sign in</button></form>`,
      );
      return undefined;
    }
    const form = await readForm(ctx.req);
    const accountId = form.get("user").split("@")[0];
    const refusal = accountId === "stranger" ? "unauthorized_client" : "access_denied";
    const result = find(accountId)
      ? { login: { accountId } }
      : { error: refusal, error_description: strange };
    ctx.respond = false;
    return provider.interactionFinished(ctx.req, ctx.res, result, { mergeWithLastSubmission: false });
  };
}

/** Starts a provider; `clients` is a function of nothing but what the broker registered. */
export async function startProvider(clients) {
  const port = await freePort();
  const issuer = `https://127.0.0.1:${port}`;
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const seen = [];
  const provider = new Provider(issuer, {
    clients,
    jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), use: "sig", alg: "RS256", kid: "interop" }] },
    cookies: { keys: [randomBytes(32).toString("hex")] },
    claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name", "given_name", "family_name"] },
    features: {
      devInteractions: { enabled: false },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource: (ctx, form) => {
          ctx.body = page(
            "Leave Acme?",
            `${form}<button id="idp-sign-out" form="op.logoutForm" name="logout" value="yes">Sign out</button>`,
          );
        },
      },
    },
    interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
    pkce: { required: () => true },
    ttl: { AccessToken: 300, AuthorizationCode: 60, IdToken: 300, Grant: 600, Interaction: 600, Session: 600 },
    findAccount: (_ctx, id) =>
      find(id) && { accountId: id, claims: () => ({ sub: id, ...find(id) }) },
    loadExistingGrant: async (ctx) => {
      const { client, session } = ctx.oidc;
      const grant = new ctx.oidc.provider.Grant({ clientId: client.clientId, accountId: session.accountId });
      grant.addOIDCScope("openid email profile");
      await grant.save();
      return grant;
    },
  });
  const errors = [];
  provider.on("server_error", (_ctx, error) => errors.push(error));
  for (const kind of ["authorization", "grant", "userinfo", "end_session"]) {
    provider.on(`${kind}.error`, (_ctx, error) => {
      if (error.error_description !== strange) errors.push(error);
    });
  }
  provider.use(interactions(provider, seen));
  const server = await serve(provider.callback(), port);
  return { issuer, seen, errors, stop: () => close(server) };
}
