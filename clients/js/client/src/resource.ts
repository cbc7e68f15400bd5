/** What every group of calls has. */
import type { Connection } from "./connection.js";
import type { PathFor, RequestOptions } from "./types.js";

export type Query<P extends PathFor<"GET">> = RequestOptions<"GET", P>["query"];

export class Resource {
  constructor(protected readonly api: Connection) {}
}
