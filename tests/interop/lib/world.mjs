// A small world: a broker on one of the two databases, Acme's provider, and the apps.
import { startApp } from "./app.mjs";
import { Broker } from "./broker.mjs";
import { freePort } from "./net.mjs";
import { startProvider } from "./provider.mjs";

export const password = "Correct7horse";

const connection = "con_019000000000700080000000000000a1";
const second = "con_019000000000700080000000000000a2";
const secret = (name) => `${name}-secret-0123456789`;

function client(issuer, id, clientId) {
  return {
    client_id: clientId,
    client_secret: secret(clientId),
    redirect_uris: [`${issuer}/sso/callback/${id}`],
    post_logout_redirect_uris: [`${issuer}/sso/signed-out/${id}`],
    token_endpoint_auth_method: "client_secret_basic",
  };
}

export async function startWorld(kind) {
  const broker = await Broker.prepare(kind);
  const provider = await startProvider([
    client(broker.issuer, connection, "countersign"),
    client(broker.issuer, second, "countersign-2"),
  ]);
  const [notes, wiki, asks] = await Promise.all(
    ["notes", "wiki", "asks"].map((name) => startApp(name, secret(name))),
  );
  const popup = { clientId: "popup", origin: `https://127.0.0.1:${await freePort()}` };
  const world = { broker, provider, notes, wiki, asks, popup };
  world.stop = async () => {
    await Promise.all([notes, wiki, asks, provider].map((part) => part.stop()));
    await broker.stop();
  };
  try {
    world.applied = await broker.apply(document(world));
    await broker.start();
    await Promise.all([notes, wiki, asks].map((app) => app.discover(broker.issuer)));
  } catch (error) {
    await world.stop();
    throw error;
  }
  return world;
}

function appTable({ clientId, callback, origin }, more = "") {
  return `
[[organizations.apps]]
client_id = "${clientId}"
name = "${clientId[0].toUpperCase()}${clientId.slice(1)}"
client_secret = "${secret(clientId)}"
redirect_uris = ["${callback}"]
post_logout_redirect_uris = ["${origin}/bye"]
home_uri = "${origin}/"
${more}`;
}

function connectionTable(issuer, id, handle, name, clientId) {
  return `
[[organizations.connections]]
id = "${id}"
handle = "${handle}"
name = "${name}"
issuer = "${issuer}"
client_id = "${clientId}"
client_secret = "${secret(clientId)}"
`;
}

function document({ provider, notes, wiki, asks, popup }) {
  return `
[[organizations]]
handle = "acme"
name = "Acme"
plan = "enterprise"
domains = [
  { name = "acme.test", connection = "acme-idp" },
  { name = "two.test", connections = ["acme-idp", "acme-second"] },
]
${connectionTable(provider.issuer, connection, "acme-idp", "Acme SSO", "countersign")}
${connectionTable(provider.issuer, second, "acme-second", "Acme Partners", "countersign-2")}
${appTable(notes)}
${appTable(wiki)}
${appTable(asks, 'consent = "explicit"')}
${appTable({ clientId: "authlib", callback: "https://127.0.0.1:1/callback", origin: "https://127.0.0.1:1" })}

[[organizations.apps]]
client_id = "${popup.clientId}"
name = "Pop-up"
redirect_uris = ["${popup.origin}/popup.html"]

[[organizations.accounts]]
username = "carol"
email = "carol@acme.test"
email_verified = true
name = "Carol Cramer"
password = "${password}"
`;
}
