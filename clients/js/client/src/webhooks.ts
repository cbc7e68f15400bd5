/** Webhooks as Standard Webhooks signs them, checked with WebCrypto: in node, on the edge, in Deno and Bun. */

/** What arrives: `data` is that of the event, with `job_id` and `number`. */
export interface WebhookMessage {
  type: string;
  timestamp: string;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- as many shapes as types
  data: Record<string, any>;
}

/** It is not from the API, or came too late. */
export class WebhookError extends Error {
  override name = "WebhookError";
}

export interface VerifyOptions {
  /** The body as it came: not parsed and written anew. */
  body: string | Uint8Array;
  headers: Headers | Record<string, string | string[] | undefined>;
  /** One secret, or several while one is replaced. */
  secret: string | string[];
  toleranceSeconds?: number;
  now?: number;
}

const bytesOf = (base64: string) => Uint8Array.from(atob(base64), (each) => each.charCodeAt(0));

/** The message, if its signature is right and it is not older or newer than five minutes. Raises WebhookError. */
export async function verifyWebhook(options: VerifyOptions): Promise<WebhookMessage> {
  const { headers, toleranceSeconds = 300, now = Date.now() } = options;
  const told = (name: string) => (headers instanceof Headers ? headers.get(name) : [headers[name]].flat()[0]) ?? "";
  const id = told("webhook-id");
  const timestamp = told("webhook-timestamp");
  if (!id || !/^\d{1,15}$/.test(timestamp)) throw new WebhookError("the webhook's headers are missing");
  if (Math.abs(now / 1000 - +timestamp) > toleranceSeconds) throw new WebhookError("the webhook is too old, or from the future");
  const encode = new TextEncoder();
  const body = typeof options.body === "string" ? encode.encode(options.body) : options.body;
  const head = encode.encode(`${id}.${timestamp}.`);
  const signed = new Uint8Array(head.length + body.length);
  signed.set(head);
  signed.set(body, head.length);
  const signatures = told("webhook-signature").split(" ").slice(0, 10).filter((each) => each.startsWith("v1,"));
  for (const secret of [options.secret].flat()) {
    const key = await crypto.subtle.importKey(
      "raw", bytesOf(secret.replace(/^whsec_/, "")), { name: "HMAC", hash: "SHA-256" }, false, ["verify"],
    );
    for (const each of signatures) {
      let signature: Uint8Array<ArrayBuffer>;
      try {
        signature = bytesOf(each.slice(3));
      } catch {
        continue; // no base64: no signature of ours
      }
      // Compares in constant time.
      if (await crypto.subtle.verify("HMAC", key, signature, signed)) return JSON.parse(new TextDecoder().decode(body)) as WebhookMessage;
    }
  }
  throw new WebhookError("the webhook's signature is wrong");
}
