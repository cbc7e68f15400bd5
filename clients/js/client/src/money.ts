/** Credits held without a job, and what they are bought with. */
import { Resource, type Query } from "./resource.js";
import type { CallOptions, RequestOptions, Schemas } from "./types.js";

type Hold = Schemas["Hold"];
type Subscription = Schemas["Subscription"];

/** For products that run their own work: hold credits, then settle what it came to. */
export class Holds extends Resource {
  create(body: RequestOptions<"POST", "/v1/holds">["body"], options: CallOptions = {}): Promise<Hold> {
    return this.api.request("POST", "/v1/holds", { ...options, body });
  }

  get(id: string, options: CallOptions = {}): Promise<Hold> {
    return this.api.request("GET", "/v1/holds/{hold_id}", { ...options, path: { hold_id: id } });
  }

  list(query?: Query<"/v1/holds">, options: CallOptions = {}): AsyncGenerator<Hold, void> {
    return this.api.iterate("/v1/holds", { ...options, query });
  }

  /** Charge a part of what is held, or all of it. */
  settle(id: string, body: Schemas["HoldSettlement"], options: CallOptions = {}): Promise<Hold> {
    return this.api.request("POST", "/v1/holds/{hold_id}/settle", { ...options, path: { hold_id: id }, body });
  }

  /** Give back a part of what is held, or all of it. */
  release(id: string, body: Schemas["HoldRelease"] = {}, options: CallOptions = {}): Promise<Hold> {
    return this.api.request("POST", "/v1/holds/{hold_id}/release", { ...options, path: { hold_id: id }, body });
  }

  /** Hold it for so many seconds from now. */
  extend(id: string, seconds: number, options: CallOptions = {}): Promise<Hold> {
    return this.api.request("POST", "/v1/holds/{hold_id}/extend", { ...options, path: { hold_id: id }, body: { seconds } });
  }
}

/** What is sold, and orders of it. */
export class Payments extends Resource {
  packs(options: CallOptions = {}): AsyncGenerator<Schemas["Pack"], void> {
    return this.api.iterate("/v1/packs", options);
  }

  plans(options: CallOptions = {}): AsyncGenerator<Schemas["Plan"], void> {
    return this.api.iterate("/v1/plans", options);
  }

  /** Order a pack or plan; the person pays at `pay_url`, and comes back to `return_url`. */
  create(body: Schemas["PaymentRequest"], options: CallOptions = {}): Promise<Schemas["Payment"]> {
    return this.api.request("POST", "/v1/payments", { ...options, body });
  }

  get(id: string, options: CallOptions = {}): Promise<Schemas["Payment"]> {
    return this.api.request("GET", "/v1/payments/{payment_id}", { ...options, path: { payment_id: id } });
  }

  list(options: CallOptions = {}): AsyncGenerator<Schemas["Payment"], void> {
    return this.api.iterate("/v1/payments", options);
  }
}

/** The account's subscription. */
export class Subscriptions extends Resource {
  get(options: CallOptions = {}): Promise<Subscription> {
    return this.api.request("GET", "/v1/subscription", options);
  }

  change(body: Schemas["PlanChange"], options: CallOptions = {}): Promise<Subscription> {
    return this.api.request("POST", "/v1/subscription/change", { ...options, body });
  }

  /** It runs to its end, and no further. */
  cancel(options: CallOptions = {}): Promise<Subscription> {
    return this.api.request("POST", "/v1/subscription/cancel", options);
  }

  /** Take the cancelling back. */
  resume(options: CallOptions = {}): Promise<Subscription> {
    return this.api.request("POST", "/v1/subscription/resume", options);
  }
}
