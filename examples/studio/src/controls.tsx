/** One control for each kind of field that a model's schema may have. */
import { useHeadrace } from "@headrace/react";
import { useState } from "react";
import type { Schemas } from "@headrace/client";
import { say } from "./parts.js";
import type { Field } from "./schema.js";
import { sayError } from "./words.js";

type Value = string | number | boolean;
interface Props<F extends Field = Field> { field: F; value: Value | undefined; onChange: (value: Value) => void }

function Picture({ field, value, onChange }: Props) {
  const api = useHeadrace();
  const [busy, setBusy] = useState(false);
  const upload = async (file: File | undefined) => {
    if (!file) return onChange("");
    setBusy(true);
    const body = new FormData();
    body.append("file", file, file.name);
    try {
      onChange(((await (await api.send("POST", "/v1/files", { body })).json()) as Schemas["File"]).id);
    } catch (error) {
      say(sayError(error));
    }
    setBusy(false);
  };
  return (
    <div className="field"><label htmlFor={`f-${field.name}`}>{field.label}</label>
      <input className="in" id={`f-${field.name}`} type="file" accept="image/*" disabled={busy} onChange={(event) => void upload(event.target.files?.[0])} />
      <span className="hint">{busy ? "Being sent…" : value ? "It is with us." : field.hint}</span></div>
  );
}

export function Control({ field, value, onChange }: Props) {
  const id = `f-${field.name}`;
  if (field.is === "picture") return <Picture field={field} value={value} onChange={onChange} />;
  if (field.is === "flag")
    return <div className="field"><label htmlFor={id}><input id={id} type="checkbox" checked={!!value} onChange={(event) => onChange(event.target.checked)} /> {field.label}</label></div>;
  return (
    <div className="field"><label htmlFor={id}>{field.label}</label>
      {field.is === "choice" ? (
        <select className="in" id={id} value={String(value ?? "")} onChange={(event) => onChange(field.options.find((each) => String(each) === event.target.value) ?? "")}>
          {value === undefined && <option value="">As it likes</option>}
          {field.options.map((each) => <option key={each} value={each}>{each}</option>)}
        </select>
      ) : field.is === "number" ? (
        <input className="in" id={id} type="number" inputMode="decimal" min={field.min} max={field.max} step={field.step} value={String(value ?? "")}
          onChange={(event) => onChange(event.target.value === "" ? "" : event.target.valueAsNumber)} />
      ) : <input className="in" id={id} type="text" maxLength={field.most} value={String(value ?? "")} onChange={(event) => onChange(event.target.value)} />}
      {field.hint && <span className="hint">{field.hint}</span>}</div>
  );
}
