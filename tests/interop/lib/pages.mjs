// Every page that people meet, and how a fresh window gets there.
import { signInAtProvider, signInLocally, useDomain } from "./browser.mjs";
import { password } from "./world.mjs";

const open = (page, app, parameters = "") => page.goto(`${app.origin}/login${parameters}`);

async function beCarol(page, world) {
  await page.goto(`${world.broker.issuer}/account`);
  await signInLocally(page, "carol", password);
  await page.waitForURL(`${world.broker.issuer}/account`);
}

/** Comes to an app through Globex's provider for the first time. */
async function come(page, { board }, user) {
  await open(page, board, "?domain_hint=globex.test");
  await signInAtProvider(page, user);
}

/** Goes on to link; the provider, which does not say when it asked, asks once more first. */
async function chooseToLink(page, person) {
  await page.click("#link-accounts");
  await signInAtProvider(page, person);
}

/** Shares an email with an account, chooses it, and proves it by its password. */
async function proveBoth(page, world) {
  const person = await world.newPerson();
  await come(page, world, person);
  await chooseToLink(page, person);
  await signInLocally(page, person, password);
  await page.waitForSelector("#link-confirm");
}

async function linkBoth(page, world) {
  await proveBoth(page, world);
  await page.click("#link-confirm");
  await page.waitForSelector("#signed-in");
  await page.goto(`${world.broker.issuer}/account`);
}

/** Comes to the page that mails a code: the provider cannot be made to ask again. */
async function askForCode(page, world) {
  await page.goto(`${world.broker.issuer}/sso/initech.test`);
  await signInAtProvider(page, `deaf${Date.now()}`);
  await page.click("#link-profile");
  await page.waitForSelector("#send-code");
}

/** Merges a local profile away, takes that back, and follows the link by which it gets a password again. */
async function followResetLink(page, world) {
  const person = await world.newPerson("lab");
  const own = `${world.broker.issuer}/account`;
  await page.goto(own);
  await signInLocally(page, person, password);
  await page.click("#merge");
  await page.click("#link-password");
  await signInLocally(page, `${person}-lab`, password);
  await page.click("#merge-confirm");
  await page.waitForSelector("#done");
  await page.goto(own);
  await page.click("#undo-1");
  await page.click("#undo-confirm");
  await page.waitForSelector("#signed-out");
  await page.goto(await world.mails.resetLink(`${person}@globex.test`));
}

/** Name of a page → [what shows that it is there, the way]. */
export const pages = {
  "sign-in": ["#sign-in", (page, { notes }) => open(page, notes)],
  "sign-in-refused": [
    "#error[data-error=bad_credentials]",
    async (page, { notes }) => {
      await open(page, notes);
      await signInLocally(page, "somebody", "Wrong7horse");
    },
  ],
  domain: [
    "#domain",
    async (page, { notes }) => {
      await open(page, notes);
      await page.click("#use-custom-domain");
    },
  ],
  "domain-unknown": [
    "#error[data-error=unknown_domain]",
    async (page, { notes }) => {
      await open(page, notes);
      await useDomain(page, "unknown.test");
    },
  ],
  choice: [
    "#connection-acme-second",
    async (page, { notes }) => {
      await open(page, notes);
      await useDomain(page, "two.test");
    },
  ],
  consent: [
    "#consent-allow",
    async (page, { asks }) => {
      await open(page, asks, "?scope=openid+profile+email+offline_access");
      await signInLocally(page, "carol", password);
    },
  ],
  account: ["#signed-in-via", beCarol],
  "account-brokered": [
    "#signed-in-via",
    async (page, { broker }) => {
      await page.goto(`${broker.issuer}/sso/acme.test`);
      await signInAtProvider(page);
    },
  ],
  logout: [
    "#logout-confirm",
    async (page, world) => {
      await beCarol(page, world);
      await page.goto(`${world.broker.issuer}/oauth2/logout`);
    },
  ],
  "logout-upstream": [
    "#logout-upstream",
    async (page, { broker }) => {
      await page.goto(`${broker.issuer}/sso/acme.test`);
      await signInAtProvider(page);
      await page.waitForSelector("#signed-in-via");
      await page.goto(`${broker.issuer}/oauth2/logout`);
    },
  ],
  "signed-out": [
    "#signed-out",
    async (page, world) => {
      await beCarol(page, world);
      await page.goto(`${world.broker.issuer}/oauth2/logout`);
      await page.click("#logout-confirm");
    },
  ],
  link: [
    "#link-2",
    async (page, world) => come(page, world, await world.newPerson("lab")),
  ],
  "link-unanswered": [
    "#error[data-error=link_unanswered]",
    async (page, world) => {
      await come(page, world, await world.newPerson("lab"));
      await page.click("#link-accounts");
    },
  ],
  "link-unnamed": ["#link-accounts", (page, world) => come(page, world, `unproven${Date.now()}`)],
  "link-prove": [
    "#sign-in",
    async (page, world) => {
      const person = `unproven${Date.now()}`;
      await come(page, world, person);
      await chooseToLink(page, person);
    },
  ],
  "link-confirm": ["#link-confirm", proveBoth],
  "merge-confirm": [
    "#merge-confirm",
    async (page, world) => {
      const person = await world.newPerson();
      await come(page, world, person);
      await page.click("#link-skip");
      await page.waitForSelector("#signed-in");
      await page.goto(`${world.broker.issuer}/account`);
      await page.click("#merge");
      await signInAtProvider(page, person);
      await page.click("#link-password");
      await signInLocally(page, person, password);
    },
  ],
  "account-linked": ["#undo-1", linkBoth],
  "account-link": [
    "#link-password",
    async (page, world) => {
      await page.goto(`${world.broker.issuer}/account`);
      await signInLocally(page, await world.newPerson(), password);
      await page.click("#link-profile");
    },
  ],
  "mail-code": ["#send-code", askForCode],
  "mail-code-refused": [
    "#error[data-error=mail_code_wrong]",
    async (page, world) => {
      await askForCode(page, world);
      await page.click("#send-code");
      await page.fill("#code", "00000000");
      await page.click("#verify");
    },
  ],
  "set-password": ["#set-password", followResetLink],
  "set-password-refused": [
    "#error[data-error=password_rules]",
    async (page, world) => {
      await followResetLink(page, world);
      await page.fill("#new_password", "short");
      await page.click("#set-password");
    },
  ],
  "password-set": [
    "#password-set",
    async (page, world) => {
      await followResetLink(page, world);
      await page.fill("#new_password", "Quiet4harbour");
      await page.click("#set-password");
    },
  ],
  unlink: [
    "#unlink-confirm",
    async (page, world) => {
      await linkBoth(page, world);
      await page.click("#unlink-1");
    },
  ],
  undo: [
    "#undo-confirm",
    async (page, world) => {
      await linkBoth(page, world);
      await page.click("#undo-1");
    },
  ],
  "error-link": [
    "#error[data-error=link_wrong_profile]",
    async (page, world) => {
      const person = await world.newPerson("lab");
      await come(page, world, person);
      await page.check("#link-1");
      await chooseToLink(page, person);
      await signInLocally(page, "carol", password);
    },
  ],
  "error-redirect-uri": [
    "#error[data-error=redirect_uri_mismatch]",
    (page, { notes }) => open(page, notes, "?redirect_uri=https%3A%2F%2Felsewhere.test%2F"),
  ],
  "error-provider": [
    "#error[data-error=idp_refused]",
    async (page, { notes }) => {
      await open(page, notes, "?domain_hint=acme.test");
      await signInAtProvider(page, "stranger");
    },
  ],
  "error-finished": [
    "#error",
    async (page, { notes }) => {
      await open(page, notes);
      const asked = page.url();
      await signInLocally(page, "carol", password);
      await page.waitForSelector("#signed-in");
      await page.goto(asked);
    },
  ],
  "error-not-found": ["#error[data-error=not_found]", (page, { broker }) => page.goto(`${broker.issuer}/nothing`)],
};

/** Leads a window to a page. */
export async function reach(name, window, world) {
  const [sign, way] = pages[name];
  await way(window.page, world);
  try {
    await window.page.waitForSelector(sign, { state: "attached" });
  } catch {
    throw new Error(`${name} is not reached; at ${window.page.url()}:\n${await window.page.content()}`);
  }
}
