/** A form out of a model's JSON Schema. Pure. */
import type { Model } from "@headrace/client";

interface Rule {
  type?: string; title?: string; description?: string; format?: string; enum?: (string | number)[]; default?: unknown;
  minimum?: number; maximum?: number; multipleOf?: number; maxLength?: number; minLength?: number;
}
interface Base { name: string; label: string; hint: string | undefined; required: boolean }
export type Field = Base & (
  | { is: "choice"; options: (string | number)[] }
  | { is: "number"; min: number | undefined; max: number | undefined; step: number | "any" }
  | { is: "flag" }
  | { is: "text"; most: number | undefined }
  | { is: "picture" }
);
export type Values = Record<string, string | number | boolean>;
export interface Shape { name: string; width: number; height: number }
export interface Form { main: string; most: number; fields: Field[]; shapes: Shape[]; count: Field | undefined; defaults: Values }

const rulesOf = (model: Model) => (model.input_schema["properties"] ?? {}) as Record<string, Rule>;
const labelOf = (name: string, rule: Rule) => rule.title ?? name.replaceAll("_", " ").replace(/^./, (first) => first.toUpperCase());

/** Which field takes the words. */
const mainOf = (rules: Record<string, Rule>) => ["prompt", "text"].find((name) => rules[name]?.type === "string") ?? Object.keys(rules)[0] ?? "prompt";

/** Square, wide and tall, within what a model can. */
export function shapesOf({ width, height }: Record<string, Rule>): Shape[] {
  if (!width || !height || width.enum || height.enum || typeof width.default !== "number") return [];
  const fit = (side: number, rule: Rule) => {
    const step = rule.multipleOf ?? 64;
    return Math.max(rule.minimum ?? 64, Math.min(rule.maximum ?? side, Math.floor(side / step) * step));
  };
  const side = width.default;
  return [
    { name: "Square", width: side, height: side },
    { name: "Wide", width: fit(side * 1.25, width), height: fit(side * 0.8, height) },
    { name: "Tall", width: fit(side * 0.8, width), height: fit(side * 1.25, height) },
  ];
}

function fieldOf(name: string, rule: Rule, required: boolean): Field {
  const base = { name, label: labelOf(name, rule), hint: rule.description, required };
  if (rule.enum) return { ...base, is: "choice", options: rule.enum };
  if (rule.type === "integer" || rule.type === "number")
    return { ...base, is: "number", min: rule.minimum, max: rule.maximum, step: rule.multipleOf ?? (rule.type === "integer" ? 1 : "any") };
  if (rule.type === "boolean") return { ...base, is: "flag" };
  return rule.format === "image" ? { ...base, is: "picture" } : { ...base, is: "text", most: rule.maxLength };
}

export function formOf(model: Model): Form {
  const rules = rulesOf(model);
  const required = (model.input_schema["required"] ?? []) as string[];
  const main = mainOf(rules);
  const shapes = shapesOf(rules);
  const defaults: Values = {};
  for (const [name, rule] of Object.entries(rules)) if (rule.default !== undefined) defaults[name] = rule.default as string;
  const apart = new Set([main, ...(shapes.length ? ["width", "height"] : [])]);
  const fields = Object.entries(rules)
    .filter(([name, rule]) => !apart.has(name) && rule.enum?.length !== 1)
    .map(([name, rule]) => fieldOf(name, rule, required.includes(name)));
  const first = fields.find((field) => field.name === "count" || (field.is === "choice" && /seconds/.test(field.name)));
  return { main, most: rules[main]?.maxLength ?? 2000, shapes, count: first, fields: fields.filter((field) => field !== first), defaults };
}

/** Choices for a field that is seen at once: a list, or the numbers between its limits. */
export const choicesOf = (field: Field): (string | number)[] =>
  field.is === "choice" ? field.options
    : field.is === "number" ? Array.from({ length: Math.min(8, (field.max ?? 4) - (field.min ?? 1) + 1) }, (_, at) => (field.min ?? 1) + at) : [];

/** The input of an order: what was chosen, without what is as it is anyway. */
export function inputOf(form: Form, words: string, values: Values): Values {
  const chosen: Values = { [form.main]: words };
  for (const [name, value] of Object.entries(values)) if (value !== "" && value !== form.defaults[name]) chosen[name] = value;
  return chosen;
}
