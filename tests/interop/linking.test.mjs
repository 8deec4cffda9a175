// Linking in Chromium: emulated Okta and Entra ID, and oidc-provider as the third; openid-client says what apps hear,
// aiosmtpd receives the mails.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { startApp } from "./lib/app.mjs";
import { Broker } from "./lib/broker.mjs";
import { openBrowser, openWindow, signInAtProvider, signInLocally } from "./lib/browser.mjs";
import { signInAtEmulator, startEmulator } from "./lib/emulator.mjs";
import { startMailServer } from "./lib/mail.mjs";
import { until } from "./lib/net.mjs";
import { startProvider } from "./lib/provider.mjs";

const password = "Correct7horse";
const email = "person1@globex.test";
const ids = {
  okta: "con_019000000000700080000000000000c1",
  entra: "con_019000000000700080000000000000c2",
  third: "con_019000000000700080000000000000c3",
};
const names = ["notes", "wiki", "board", "late"];
const secret = (name) => `${name}-secret-0123456789`;
const tenant = "72f3c1de-4b5a-4c8e-9d10-6a2b7f0e5c34";

function connection(handle, name, more) {
  return `
[[organizations.connections]]
id = "${ids[handle]}"
handle = "${handle}"
name = "${name}"
client_id = "countersign"
client_secret = "${secret("countersign")}"
${more}`;
}

function document({ okta, entra, third, apps }) {
  const tables = names.map(
    (name) => `
[[organizations.apps]]
client_id = "${name}"
name = "${name}"
client_secret = "${secret(name)}"
redirect_uris = ["${apps[name].callback}"]
home_uri = "${apps[name].origin}/"
`,
  );
  return `
[[organizations]]
handle = "globex"
name = "Globex"
linking = true
domains = [{ name = "globex.test", connections = ["okta", "entra", "third"] }]
${connection("okta", "Globex Okta", `vendor = "okta"\nissuer = "${okta.origin}"`)}
${connection(
  "entra",
  "Globex Entra",
  `vendor = "entra"
issuer = "${entra.origin}/{tenantid}/v2.0"
tenants = ["${tenant}"]
required_claims = { tid = ["${tenant}"] }
email_trust = "authoritative"`,
)}
${connection("third", "Globex Third", `issuer = "${third.issuer}"`)}
${tables.join("")}
[[organizations.accounts]]
username = "gerda"
email = "gerda@globex.test"
email_verified = true
password = "${password}"
`;
}

async function startWorld(kind) {
  const stops = [];
  const started = async (part) => {
    stops.unshift(part);
    return part;
  };
  const world = { stop: async () => Promise.all(stops.map((part) => part.stop())) };
  try {
    const mail = await started(await startMailServer());
    const broker = await started(await Broker.prepare(kind, mail.config));
    const callback = (handle) => `${broker.issuer}/sso/callback/${ids[handle]}`;
    const known = (handle) => ({
      client: { id: "countersign", secret: secret("countersign"), redirectUris: [callback(handle)] },
      people: [{ username: "person1", password, name: "Gerda Groß", email }],
    });
    const [okta, entra] = await Promise.all(
      ["okta", "entra"].map(async (vendor) => started(await startEmulator(vendor, broker.folder, known(vendor)))),
    );
    const third = await started(
      await startProvider([
        { client_id: "countersign", client_secret: secret("countersign"), redirect_uris: [callback("third")] },
      ]),
    );
    const apps = {};
    for (const name of names) apps[name] = await started(await startApp(name, secret(name)));
    Object.assign(world, { mail, broker, okta, entra, third, apps });
    await broker.apply(document(world));
    await broker.start();
    await Promise.all(names.map((name) => apps[name].discover(broker.issuer)));
    return world;
  } catch (error) {
    await world.stop();
    throw error;
  }
}

for (const kind of ["sqlite", "postgres"]) {
  describe(`linking on ${kind}`, () => {
    let world, browser;
    before(async () => {
      [world, browser] = await Promise.all([startWorld(kind), openBrowser()]);
    });
    after(async () => {
      await browser?.close();
      await world?.stop();
    });

    /** Does something in a window of its own, and holds the pages to their own security policy. */
    async function inWindow(work) {
      const window = await openWindow(browser);
      try {
        await work(window.page);
        assert.deepEqual(window.violations, [], "a page broke its own security policy");
      } catch (error) {
        throw new Error(`${error.message}\nat ${window.page.url()}\n${await window.page.content()}`, { cause: error });
      } finally {
        await window.close();
      }
    }

    const open = (page, name, hint) => page.goto(`${world.apps[name].origin}/login${hint ? `?idp_hint=${hint}` : ""}`);
    const atVendor = (page) => signInAtEmulator(page, email, password);

    /** The `sub` that an app has been told, as openid-client validated it. */
    async function subject(page, name) {
      await page.waitForSelector("#signed-in");
      return world.apps[name].signIns.at(-1).claims.sub;
    }

    /** A whole sign-in in a window of its own; the `sub` that the app hears. */
    async function heard(name, hint, sign) {
      let sub;
      await inWindow(async (page) => {
        await open(page, name, hint);
        await sign(page);
        sub = await subject(page, name);
      });
      return sub;
    }

    async function mailed(count) {
      await until(`${count} mails`, () => world.mail.mails.length >= count);
      assert.equal(world.mail.mails.length, count, JSON.stringify(world.mail.mails));
      for (const mail of world.mail.mails) {
        assert.deepEqual([mail.defects, mail.tls, mail.from], [[], true, "countersign@id.test"]);
        assert.match(mail.text, /Sie erhalten diese Nachricht/);
        assert.match(mail.html, /<html/);
      }
      return world.mail.mails;
    }

    const known = {};

    test("who comes first is offered nothing", async () => {
      known.notes = await heard("notes", "okta", atVendor);
      known.board = await heard("board", undefined, (page) => signInLocally(page, "gerda", password));
      assert.notEqual(known.notes, known.board);
      assert.equal(world.mail.mails.length, 0);
    });

    test("a second provider is linked in one visit, by signing in at the first", async () => {
      await inWindow(async (page) => {
        await open(page, "wiki", "entra");
        await atVendor(page);
        await page.waitForSelector("#link-accounts");
        assert.match(await page.textContent("main"), /Globex Okta/);
        await page.click("#link-accounts");
        // Neither of the newcomers' providers says when it asked: they ask once more first.
        await page.waitForURL(`${world.entra.origin}/**`);
        await atVendor(page);
        await page.waitForURL(`${world.okta.origin}/**`);
        await atVendor(page);
        await page.waitForSelector("#link-confirm");
        await page.click("#link-confirm");
        assert.equal(await subject(page, "wiki"), known.notes);
      });
      const [mail] = await mailed(1);
      assert.deepEqual(mail.to, [email]);
      assert.match(mail.text, /Globex Entra · person1@globex\.test can sign in/);
    });

    test("a third one that is no emulation is linked too, and each leads to the one account", async () => {
      await inWindow(async (page) => {
        await open(page, "wiki", "third");
        await signInAtProvider(page, "person1");
        await page.waitForSelector("#link-2");
        await page.check("#link-1");
        await page.click("#link-accounts");
        await signInAtProvider(page, "person1");
        await page.waitForURL(new RegExp(`^(${world.okta.origin}|${world.entra.origin})/`));
        await atVendor(page);
        await page.click("#link-confirm");
        assert.equal(await subject(page, "wiki"), known.notes);
        await page.goto(`${world.broker.issuer}/account`);
        await page.waitForSelector("#unlink-3");
        assert.equal(await page.locator("#unlink-4").count(), 0);
      });
      await mailed(2);
      for (const [hint, sign] of [
        ["okta", atVendor],
        ["entra", atVendor],
        ["third", (page) => signInAtProvider(page, "person1")],
      ]) {
        assert.equal(await heard("notes", hint, sign), known.notes, hint);
      }
    });

    test("after a merge each app hears the name that it knows, and after the undo its own person", async () => {
      await inWindow(async (page) => {
        await page.goto(`${world.broker.issuer}/account`);
        await signInLocally(page, "gerda", password);
        await page.click("#merge");
        await page.click("#connection-okta");
        await atVendor(page);
        await page.waitForSelector("#merge-confirm");
        // The account of the three providers stays.
        await page.locator("label", { hasText: "Globex Okta" }).first().click();
        await page.click("#merge-confirm");
        await page.waitForSelector("#undo-1");
      });
      const byPassword = (page) => signInLocally(page, "gerda", password);
      for (const [name, hint, sign, sub] of [
        ["notes", undefined, byPassword, known.notes],
        ["board", "okta", atVendor, known.board],
        ["board", undefined, byPassword, known.board],
        ["late", undefined, byPassword, known.notes],
      ]) {
        assert.equal(await heard(name, hint, sign), sub, `${name} by ${hint ?? "password"}`);
      }
      const merged = (await mailed(4)).slice(2);
      assert.deepEqual(merged.map((mail) => mail.to[0]).sort(), ["gerda@globex.test", email]);
      await inWindow(async (page) => {
        await page.goto(`${world.broker.issuer}/account`);
        await signInLocally(page, "gerda", password);
        await page.click("#undo-1");
        await page.click("#undo-confirm");
        await page.waitForSelector("#signed-out");
      });
      for (const [name, hint, sign, sub] of [
        ["board", undefined, byPassword, known.board],
        ["notes", "entra", atVendor, known.notes],
        ["wiki", "third", (page) => signInAtProvider(page, "person1"), known.notes],
        ["late", "okta", atVendor, known.notes],
      ]) {
        assert.equal(await heard(name, hint, sign), sub, `${name} by ${hint ?? "password"}`);
      }
      assert.notEqual(await heard("late", undefined, byPassword), known.notes, "a subject is never somebody else's");
      await mailed(6);
    });
  });
}
