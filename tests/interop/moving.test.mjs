// People of an organization move to another registration at their provider: oidc-provider knows them by the same
// subjects, openid-client says what the app hears, Chromium shows what they see, in the organization's own look.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { openBrowser, openWindow, signInAtProvider } from "./lib/browser.mjs";
import { until } from "./lib/net.mjs";
import { startWorld } from "./lib/world.mjs";

const inTenDays = new Date(Date.now() + 10 * 24 * 3_600_000).toISOString().slice(0, 10);

for (const kind of ["sqlite", "postgres"]) {
  describe(`on ${kind}`, () => {
    let world, browser;
    before(async () => {
      [world, browser] = await Promise.all([startWorld(kind), openBrowser()]);
    });
    after(async () => {
      await browser?.close();
      await world?.stop();
    });

    /** Signs bob in to notes through one of the two connections, in a window of his own. */
    async function come(hint) {
      const window = await openWindow(browser);
      await window.page.goto(`${world.notes.origin}/login?idp_hint=${hint}`);
      await signInAtProvider(window.page);
      await window.page.waitForSelector("#signed-in, #app-error, #error");
      return window;
    }

    test("a person who moves keeps their account, and sees and undoes it on their own page", async () => {
      const before = await come("acme-idp");
      const { sub } = world.notes.signIns.at(-1).claims;
      await world.moveAcme(inTenDays);
      const window = await come("acme-second");
      const { page } = window;
      assert.equal(world.notes.signIns.at(-1).claims.sub, sub);

      // What the old way had opened has ended.
      await before.page.goto(`${world.broker.issuer}/account`);
      await before.page.waitForSelector("#username");

      await page.goto(`${world.broker.issuer}/account`);
      const ways = await page.textContent("#profiles");
      assert.ok(ways.includes("Acme Partners") && !ways.includes("Acme SSO"), ways);
      assert.match(await page.textContent("#ledger"), /Replaced when your organization changed its identity provider/);
      const look = await page.evaluate(() => ({
        logo: getComputedStyle(document.querySelector(".logo")).backgroundImage,
        link: getComputedStyle(document.querySelector("footer a")).getPropertyValue("--accent"),
      }));
      assert.match(look.logo, /^url\("data:image\/svg\+xml;base64,/);
      assert.equal(look.link, "#8a1538");

      const told = await until("a mail of it", () =>
        world.mails.inbox().find((mail) => mail.includes("bob@acme.test") && mail.includes("in a new way")),
      );
      assert.match(told, /Acme Partners/);

      // Whoever comes by the old way is shown the new one.
      const old = await come("acme-idp");
      assert.equal(await old.page.getAttribute("#error", "data-error"), "other_connection");
      assert.match(await old.page.textContent("main"), /Acme Partners/);

      await page.click("[id^=undo-]");
      if (page.url().startsWith(world.provider.issuer)) await signInAtProvider(page);
      await page.waitForSelector("#undo-confirm");
      assert.match(await page.textContent("main"), /will open your account again/);
      await page.click("#undo-confirm");
      await page.waitForSelector("#signed-out");
      const back = await come("acme-idp");
      assert.equal(world.notes.signIns.at(-1).claims.sub, sub);
      for (const each of [before, window, old, back]) {
        assert.deepEqual(each.violations, [], "the page broke its own security policy");
        await each.close();
      }
      assert.deepEqual(world.provider.errors, [], "the provider refused something of the broker's");
    });
  });
}
