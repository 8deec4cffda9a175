// A public app in the browser: npm oidc-client-ts signs in through a pop-up window, under the headers that are
// really sent (a wrong opener policy would cut the window off).
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";

import { openBrowser, openWindow, signInLocally } from "./lib/browser.mjs";
import { close, serve } from "./lib/net.mjs";
import { password, startWorld } from "./lib/world.mjs";

const library = readFileSync(new URL("node_modules/oidc-client-ts/dist/browser/oidc-client-ts.min.js", import.meta.url));
const page = (script) =>
  `<!doctype html><html lang="en"><title>Pop-up</title><button id="go">Sign in</button><p id="result"></p>
   <script src="/oidc-client-ts.js"></script><script>${script}</script></html>`;

let world, browser, server;
before(async () => {
  [world, browser] = await Promise.all([startWorld("sqlite"), openBrowser()]);
  const settings = JSON.stringify({
    authority: world.broker.issuer,
    client_id: world.popup.clientId,
    redirect_uri: `${world.popup.origin}/popup.html`,
    popup_redirect_uri: `${world.popup.origin}/popup.html`,
    scope: "openid profile email",
    loadUserInfo: true,
    automaticSilentRenew: false,
    monitorSession: false,
  });
  const manager = `const manager = new oidc.UserManager(${settings});`;
  const files = {
    "/": ["text/html", page(`${manager}
      document.getElementById("go").onclick = () => manager.signinPopup().then(
        (user) => { document.getElementById("result").textContent = JSON.stringify(user.profile); },
        (error) => { document.getElementById("result").textContent = "failed: " + error; });`)],
    "/popup.html": ["text/html", page(`${manager} manager.signinPopupCallback();`)],
    "/oidc-client-ts.js": ["text/javascript", library],
  };
  server = await serve((request, response) => {
    const [kind, body] = files[new URL(request.url, world.popup.origin).pathname] ?? ["text/plain", "nothing"];
    response.writeHead(200, { "content-type": `${kind}; charset=utf-8` }).end(body);
  }, Number(new URL(world.popup.origin).port));
});
after(async () => {
  await browser?.close();
  if (server) await close(server);
  await world?.stop();
});

test("a browser app signs in through a pop-up window", async () => {
  const window = await openWindow(browser);
  await window.page.goto(`${world.popup.origin}/`);
  const [popup] = await Promise.all([window.page.waitForEvent("popup"), window.page.click("#go")]);
  await signInLocally(popup, "carol", password);
  await window.page.waitForFunction(() => document.getElementById("result").textContent !== "");
  const result = await window.page.textContent("#result");
  assert.ok(!result.startsWith("failed"), result);
  const profile = JSON.parse(result);
  assert.match(profile.sub, /^acc_/);
  assert.equal(profile.email, "carol@acme.test");
  assert.ok(popup.isClosed() || (await popup.waitForEvent("close").then(() => true)));
  assert.deepEqual(window.violations, []);
  await window.close();
});
