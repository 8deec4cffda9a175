// Whole sign-ins: openid-client as the app, oidc-provider as the organization's provider, Chromium in between; on
// both databases, with and without JavaScript.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";

import * as client from "openid-client";

import { openBrowser, openWindow, signInAtProvider, signInLocally, useDomain } from "./lib/browser.mjs";
import { password, startWorld } from "./lib/world.mjs";

for (const kind of ["sqlite", "postgres"]) {
  describe(`on ${kind}`, () => {
    let world, browser, window, page;
    before(async () => {
      [world, browser] = await Promise.all([startWorld(kind), openBrowser()]);
    });
    after(async () => {
      await browser?.close();
      await world?.stop();
    });
    beforeEach(async () => {
      window = await openWindow(browser);
      page = window.page;
    });
    afterEach(async () => {
      const { violations } = window;
      await window.close();
      assert.deepEqual(violations, [], "the page broke its own security policy");
      assert.deepEqual(world.provider.errors, [], "the provider refused something of the broker's");
    });

    async function arrive(app) {
      await page.waitForSelector("#signed-in, #app-error, #error");
      assert.match(await page.textContent("h1"), new RegExp(`^${app.clientId}: acc_`), await page.content());
      return app.signIns.at(-1);
    }

    test("apply prints what the provider must be told", () => {
      const uri = `${world.broker.issuer}/sso/callback/con_019000000000700080000000000000a1`;
      assert.ok(
        world.applied.split("\n").some((line) => line.startsWith("connection acme/acme-idp con_") && line.includes(`redirect_uri=${uri}`)),
        world.applied,
      );
    });

    test("a person enters a domain, signs in there, and the app validates the broker's tokens", async () => {
      await page.goto(`${world.notes.origin}/login?scope=openid+profile+email+offline_access`);
      await useDomain(page, "acme.test");
      await page.waitForURL(`${world.provider.issuer}/**`);
      await signInAtProvider(page);
      const { tokens, claims } = await arrive(world.notes);

      assert.equal(claims.iss, world.broker.issuer);
      assert.equal(claims.aud, "notes");
      const info = await client.fetchUserInfo(world.notes.config, tokens.access_token, claims.sub);
      assert.equal(info.email, "bob@acme.test");
      assert.equal(info.email_verified, true);
      assert.equal(info.name, "Bob Berger");

      const active = await client.tokenIntrospection(world.notes.config, tokens.access_token);
      assert.equal(active.active, true);
      assert.equal(active.sub, claims.sub);

      const fresh = await client.refreshTokenGrant(world.notes.config, tokens.refresh_token);
      assert.notEqual(fresh.refresh_token, tokens.refresh_token);
      assert.equal(fresh.claims()?.sub, claims.sub);
      assert.equal((await client.fetchUserInfo(world.notes.config, fresh.access_token, claims.sub)).sub, claims.sub);

      await client.tokenRevocation(world.notes.config, fresh.refresh_token);
      const dead = await client.tokenIntrospection(world.notes.config, fresh.refresh_token);
      assert.equal(dead.active, false);
      await assert.rejects(client.refreshTokenGrant(world.notes.config, fresh.refresh_token), { error: "invalid_grant" });
    });

    test("an app's domain_hint goes straight to the provider, with the login_hint", async () => {
      await page.goto(`${world.notes.origin}/login?domain_hint=acme.test&login_hint=bob%40acme.test`);
      await page.waitForURL(`${world.provider.issuer}/**`);
      assert.equal(world.provider.seen.at(-1).login_hint, "bob@acme.test");
      await page.click("#idp-sign-in");
      await arrive(world.notes);
    });

    test("an email whose domain is routed asks no password", async () => {
      await page.goto(`${world.notes.origin}/login`);
      await page.fill("#username", "bob@acme.test");
      await page.click("#sign-in");
      await page.waitForURL(`${world.provider.issuer}/**`);
      await signInAtProvider(page);
      await arrive(world.notes);
    });

    test("somebody whom the provider refuses ends at the app with access_denied", async () => {
      await page.goto(`${world.notes.origin}/login?domain_hint=acme.test`);
      await signInAtProvider(page, "nobody");
      assert.match(await page.textContent("#app-error"), /^access_denied/);
    });

    test("without JavaScript everything works the same", async () => {
      await window.close();
      window = await openWindow(browser, { javaScriptEnabled: false });
      page = window.page;
      await page.goto(`${world.notes.origin}/login`);
      await useDomain(page, "acme.test");
      await signInAtProvider(page);
      const { claims } = await arrive(world.notes);
      assert.equal(claims.iss, world.broker.issuer);
    });

    test("a wrong password says so, and the right one goes on", async () => {
      await page.goto(`${world.notes.origin}/login`);
      await signInLocally(page, "carol", "Wrong7horse");
      await page.waitForSelector("#error[data-error=bad_credentials]");
      assert.match(await page.textContent("#own-identity-provider"), /your organization may sign in/);
      await signInLocally(page, "carol", password);
      const { tokens, claims } = await arrive(world.notes);
      const info = await client.fetchUserInfo(world.notes.config, tokens.access_token, claims.sub);
      assert.equal(info.preferred_username, "carol");
      assert.equal(info.email, "carol@acme.test");
    });

    test("a second app asks nobody again, and prompt=none answers login_required without a session", async () => {
      await page.goto(`${world.wiki.origin}/login?prompt=none`);
      assert.match(await page.textContent("#app-error"), /^login_required/);
      await page.goto(`${world.notes.origin}/login`);
      await signInLocally(page, "carol", password);
      const first = await arrive(world.notes);
      await page.goto(`${world.wiki.origin}/login?prompt=none`);
      assert.equal((await arrive(world.wiki)).claims.sub, first.claims.sub);
    });

    test("consent is asked, and both answers end at the app", async () => {
      await page.goto(`${world.asks.origin}/login`);
      await signInLocally(page, "carol", password);
      await page.click("#consent-deny");
      assert.match(await page.textContent("#app-error"), /^access_denied/);
      await page.goto(`${world.asks.origin}/login`);
      await page.click("#consent-allow");
      await arrive(world.asks);
    });

    test("an app's logout with the ID token as hint ends the session at once", async () => {
      await page.goto(`${world.notes.origin}/login`);
      await signInLocally(page, "carol", password);
      const { tokens } = await arrive(world.notes);
      const end = client.buildEndSessionUrl(world.notes.config, {
        id_token_hint: tokens.id_token,
        post_logout_redirect_uri: `${world.notes.origin}/bye`,
        state: "farewell",
      });
      await page.goto(end.href);
      assert.equal(page.url(), `${world.notes.origin}/bye?state=farewell`);
      await page.goto(`${world.notes.origin}/login?prompt=none`);
      assert.match(await page.textContent("#app-error"), /^login_required/);
    });

    test("an app's logout can go on to the provider, and still ends at the app", async () => {
      await page.goto(`${world.notes.origin}/login?domain_hint=acme.test`);
      await signInAtProvider(page);
      await arrive(world.notes);
      const end = client.buildEndSessionUrl(world.notes.config, {
        post_logout_redirect_uri: `${world.notes.origin}/bye`,
        state: "farewell",
      });
      await page.goto(end.href);
      await page.click("#logout-upstream");
      await page.waitForURL(`${world.provider.issuer}/**`);
      await page.click("#idp-sign-out");
      await page.waitForURL(`${world.notes.origin}/bye?state=farewell`);
      await page.goto(`${world.notes.origin}/login?prompt=none`);
      assert.match(await page.textContent("#app-error"), /^login_required/);
      await page.goto(`${world.notes.origin}/login?domain_hint=acme.test`);
      await page.waitForSelector("#idp-user");
    });

    test("two tabs with two apps at once both end at their own app", async () => {
      const other = await window.context.newPage();
      await page.goto(`${world.notes.origin}/login`);
      await other.goto(`${world.wiki.origin}/login`);
      await page.click("#use-custom-domain");
      await signInLocally(other, "carol", password);
      assert.match(await other.textContent("#signed-in"), /^wiki: acc_/);
      await page.fill("#domain", "acme.test");
      await page.click("#continue");
      await signInAtProvider(page);
      assert.match(await page.textContent("#signed-in"), /^notes: acc_/);
    });

    test("the back button and a reload after the end lead back to the app, not to a dead page", async () => {
      await page.goto(`${world.notes.origin}/login`);
      const asked = page.url();
      await signInLocally(page, "carol", password);
      await arrive(world.notes);
      await page.goBack();
      if (page.url() !== asked) await page.goto(asked);
      await page.reload();
      const stopped = await page.waitForSelector("#error");
      assert.ok(["flow_finished", "flow_expired"].includes(await stopped.getAttribute("data-error")));
      await page.click("main a.button.primary");
      await page.waitForSelector("#home");
      assert.equal(new URL(page.url()).origin, world.notes.origin);
    });
  });
}
