// Every page: usable by everybody (axe-core), light, from one origin, within a phone's width, without a mouse.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { openBrowser, openWindow } from "./lib/browser.mjs";
import { pages, reach } from "./lib/pages.mjs";
import { password, startWorld } from "./lib/world.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const mostRequests = 3;
const mostBytes = 20 * 1024;

let world, browser;
before(async () => {
  [world, browser] = await Promise.all([startWorld("sqlite"), openBrowser()]);
});
after(async () => {
  await browser?.close();
  await world?.stop();
});

/** Notes what the last document and everything after it cost, with an empty cache. */
async function weigh(window) {
  const session = await window.context.newCDPSession(window.page);
  await session.send("Network.enable");
  await session.send("Network.setCacheDisabled", { cacheDisabled: true });
  let requests = new Map();
  session.on("Network.requestWillBeSent", ({ requestId, request, type }) => {
    if (type === "Document") requests = new Map();
    if (!request.url.startsWith("data:")) requests.set(requestId, { url: request.url, bytes: 0 });
  });
  session.on("Network.loadingFinished", ({ requestId, encodedDataLength }) => {
    if (requests.has(requestId)) requests.get(requestId).bytes = encodedDataLength;
  });
  return () => [...requests.values()];
}

async function seriousFaults(page) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document));
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.html} ${node.failureSummary}`).join("; ")}`);
}

/** What reaches over the right edge, or is cut off, at a width. */
async function sideways(page, width) {
  await page.setViewportSize({ width, height: 740 });
  return page.evaluate(() => {
    const edge = document.documentElement.clientWidth;
    const visible = [...document.body.querySelectorAll("*")].filter((one) => one.checkVisibility());
    const over = visible.filter((one) => one.getBoundingClientRect().right > edge + 1);
    const page = document.documentElement.scrollWidth > edge ? [`the page: ${document.documentElement.scrollWidth} px`] : [];
    return page.concat(over.map((one) => one.outerHTML.slice(0, 160)));
  });
}

for (const name of Object.keys(pages)) {
  test(`${name}: no serious fault, light, one origin, fits a phone`, async () => {
    const window = await openWindow(browser, { reducedMotion: "reduce" });
    const { page } = window;
    try {
      const weight = await weigh(window);
      await reach(name, window, world);
      await page.waitForLoadState("networkidle");
      const requests = weight();
      assert.ok(requests.length >= 2 && requests.length <= mostRequests, JSON.stringify(requests));
      const bytes = requests.reduce((sum, request) => sum + request.bytes, 0);
      assert.ok(requests.every((request) => request.bytes > 0) && bytes <= mostBytes, JSON.stringify(requests));
      for (const { url } of requests) assert.equal(new URL(url).origin, world.broker.issuer);

      for (const colorScheme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
        assert.deepEqual(await seriousFaults(page), [], `${colorScheme} ${page.url()}`);
      }
      assert.deepEqual(await sideways(page, 360), [], "on a phone");
      // Letters twice as large (WCAG 2.2, 1.4.4), on a screen that is twice as narrow as 1280 px through the zoom.
      assert.deepEqual(await sideways(page, 640), [], "zoomed to 200%");
      await page.evaluate(() => (document.documentElement.style.fontSize = "200%"));
      assert.deepEqual(await sideways(page, 640), [], "with text of 200%");
      assert.deepEqual(window.violations, []);
    } finally {
      await window.close();
    }
  });
}

test("a sign-in needs no mouse: the first field has the focus, and Tab and Enter do the rest", async () => {
  const window = await openWindow(browser);
  const { page } = window;
  await page.goto(`${world.notes.origin}/login`);
  assert.equal(await page.evaluate(() => document.activeElement.id), "username");
  await page.keyboard.type("carol");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.id), "password");
  await page.keyboard.type(password);
  await page.keyboard.press("Enter");
  await page.waitForSelector("#signed-in");
  await window.close();
});

test("pages speak German to those who ask for it", async () => {
  const window = await openWindow(browser, { locale: "de-DE" });
  await reach("sign-in", window, world);
  assert.equal(await window.page.getAttribute("html", "lang"), "de");
  assert.equal((await window.page.textContent("#sign-in")).trim(), "Anmelden");
  await window.close();
});

const folder = process.env.COUNTERSIGN_SCREENSHOTS;
const looks = {
  wide: {},
  phone: { viewport: { width: 360, height: 740 } },
  dark: { colorScheme: "dark" },
  plain: { javaScriptEnabled: false },
  german: { locale: "de-DE", viewport: { width: 360, height: 740 } },
};

// Pictures to look at, for whoever changes a page.
if (folder) {
  describe("pictures", () => {
    mkdirSync(folder, { recursive: true });
    for (const [look, options] of Object.entries(looks)) {
      for (const name of Object.keys(pages)) {
        test(`${name} ${look}`, async () => {
          const window = await openWindow(browser, options);
          await reach(name, window, world);
          await window.page.screenshot({ path: join(folder, `${name}-${look}.png`), fullPage: true });
          await window.close();
        });
      }
    }
  });
}
