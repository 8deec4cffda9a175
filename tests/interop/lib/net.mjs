// Ports, TLS material and bounded waiting.
import { readFileSync } from "node:fs";
import https from "node:https";
import net from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** The folder with `ca.pem`, `leaf.pem` and `leaf.key`, made by `tests/interop/run`. */
export const pki = required("INTEROP_PKI");

export const tls = { cert: readFileSync(`${pki}/leaf.pem`), key: readFileSync(`${pki}/leaf.key`) };

/** The hash by which Chromium is told to trust the run's certificate, and no other. */
export const spki = readFileSync(`${pki}/spki`, "utf8").trim();

export function required(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: start these tests with tests/interop/run`);
  return value;
}

/** A port that nobody listens on. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = net.createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** An HTTPS server on loopback. */
export function serve(handler, port) {
  return new Promise((resolve, reject) => {
    const server = https.createServer(tls, handler).once("error", reject);
    server.listen(port, "127.0.0.1", () => resolve(server));
  });
}

export function close(server) {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(resolve));
}

/** Asks until `probe` answers something true; fails after `seconds`. */
export async function until(what, probe, seconds = 20) {
  const end = Date.now() + seconds * 1000;
  let last;
  while (Date.now() < end) {
    try {
      const answer = await probe();
      if (answer) return answer;
    } catch (error) {
      last = error;
    }
    await sleep(50);
  }
  throw new Error(`${what}: nothing within ${seconds} s${last ? ` (${last.cause ?? last})` : ""}`);
}
