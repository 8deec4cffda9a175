// A small world: a broker on one of the two databases, Acme's provider, and the apps.
import { startApp } from "./app.mjs";
import { Broker } from "./broker.mjs";
import { makeMailFolder } from "./mail.mjs";
import { freePort } from "./net.mjs";
import { startProvider } from "./provider.mjs";

export const password = "Correct7horse";

const connection = "con_019000000000700080000000000000a1";
const second = "con_019000000000700080000000000000a2";
const linking = "con_019000000000700080000000000000b1";
const deaf = "con_019000000000700080000000000000d1";
const secret = (name) => `${name}-secret-0123456789`;

/** A logo that is lighter in the dark. */
const drawing =
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 40"><style>circle{fill:#8a1538}@media(prefers-color-scheme:dark){circle{fill:#ffb3c7}}</style><circle cx="20" cy="20" r="18"/></svg>';
const look = `accent = "#8a1538"
logo = "data:image/svg+xml;base64,${Buffer.from(drawing).toString("base64")}"`;

/** What a connection says of a provider that cannot be made to ask again. */
const deafness = "capabilities = { prompts = [], max_age = false }\n";

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
  const mails = makeMailFolder();
  const broker = await Broker.prepare(kind, mails.config);
  const provider = await startProvider([
    client(broker.issuer, connection, "countersign"),
    client(broker.issuer, second, "countersign-2"),
    client(broker.issuer, linking, "countersign-3"),
    client(broker.issuer, deaf, "countersign-4"),
  ]);
  const apps = await Promise.all(["notes", "wiki", "asks", "board"].map((name) => startApp(name, secret(name))));
  const [notes, wiki, asks, board] = apps;
  const popup = { clientId: "popup", origin: `https://127.0.0.1:${await freePort()}` };
  const world = { broker, mails, provider, notes, wiki, asks, board, popup };
  let persons = 0;
  /** Makes accounts that share the email of somebody whom Globex's provider knows under the name given back. */
  world.newPerson = async (...more) => {
    persons += 1;
    const name = `person${persons}`;
    await broker.apply(globex("", [name, ...more.map((suffix) => `${name}-${suffix}`)], name));
    return name;
  };
  /** Lets Acme's second connection, to the same provider under another client, replace the first one. */
  world.moveAcme = (until) => {
    const replaces = `replaces = { connection = "acme-idp", claim = "sub", until = "${until}" }`;
    const partners = connectionTable(provider.issuer, second, "acme-second", "Acme Partners", "countersign-2", replaces);
    return broker.apply(`
[[organizations]]
handle = "acme"
name = "Acme"
plan = "enterprise"
${look}
${partners}`);
  };
  world.stop = async () => {
    await Promise.all([...apps, provider].map((part) => part.stop()));
    await broker.stop();
    mails.remove();
  };
  try {
    world.applied = await broker.apply(document(world));
    await broker.start();
    await Promise.all(apps.map((app) => app.discover(broker.issuer)));
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

function connectionTable(issuer, id, handle, name, clientId, more = "") {
  return `
[[organizations.connections]]
id = "${id}"
handle = "${handle}"
name = "${name}"
issuer = "${issuer}"
client_id = "${clientId}"
client_secret = "${secret(clientId)}"
${more}`;
}

/** An organization that links, with accounts that share the email of one person. */
function globex(parts, usernames = [], person = "") {
  const accounts = usernames.map(
    (username) => `
[[organizations.accounts]]
username = "${username}"
email = "${person}@globex.test"
email_verified = true
name = "Gerda Groß"
password = "${password}"
roles = ["auditor"]
`,
  );
  return `
[[organizations]]
handle = "globex"
name = "Globex"
linking = true
${parts}
${accounts.join("")}`;
}

function document({ provider, notes, wiki, asks, board, popup }) {
  return `
[[organizations]]
handle = "acme"
name = "Acme"
plan = "enterprise"
${look}
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
${globex(`
domains = [{ name = "globex.test", connection = "globex-idp" }]
${connectionTable(provider.issuer, linking, "globex-idp", "Globex SSO", "countersign-3")}
${appTable(board)}`)}
[[organizations]]
handle = "initech"
name = "Initech"
linking = true
domains = [{ name = "initech.test", connection = "deaf" }]
${connectionTable(provider.issuer, deaf, "deaf", "Initech SSO", "countersign-4", deafness)}`;
}
