/** The studio's own server: the session, tokens for the page, and what a page's token may not do. */
import { errorOf, Headrace, type Token } from "@headrace/client";

const ROOT = "/studio/api";
const own: typeof fetch = (url, options) => fetch(url, { ...options, credentials: "same-origin" });

/** The API for whoever has signed in, through the studio's server: trying again, gallery, collections, packs, payments. */
export const server = new Headrace({ url: ROOT, fetch: own });

async function ask(method: string, path: string, body?: object): Promise<Response> {
  const headers = body ? { "content-type": "application/json" } : undefined;
  const response = await own(ROOT + path, { method, ...(headers ? { headers } : {}), ...(body ? { body: JSON.stringify(body) } : {}) });
  if (!response.ok) throw await errorOf(response);
  return response;
}

export const whoIsIn = async (): Promise<string | null> => ((await (await ask("GET", "/session")).json()) as { email: string | null }).email;
export const signIn = async (email: string): Promise<string> => ((await (await ask("POST", "/session", { email })).json()) as { email: string }).email;
export const signOut = async (): Promise<void> => void (await ask("DELETE", "/session"));
export const getToken = async (): Promise<Token> => (await (await ask("POST", "/token")).json()) as Token;
