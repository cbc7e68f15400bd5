/** Frames of server-sent events, however they are torn. Pure. */

export interface Frame {
  id: string | undefined;
  event: string;
  data: string;
}

const MOST_CHARACTERS = 32 << 20;

/** A reader of one stream: give it bytes as they come, and it has the frames that are whole. */
export function frameReader(): (chunk: Uint8Array) => Frame[] {
  const decoder = new TextDecoder(); // keeps the half of a character until its other half has come
  let rest = "";
  return (chunk) => {
    rest += decoder.decode(chunk, { stream: true });
    if (rest.length > MOST_CHARACTERS) throw new Error("a frame is larger than any of ours");
    const parts = rest.split(/\r?\n\r?\n/);
    rest = parts.pop() ?? "";
    return parts.map(frameOf).filter((frame) => frame.data !== "" || frame.id !== undefined);
  };
}

/** A reader of lines, however they are torn; the last one too needs its end. */
export function lineReader(): (chunk: Uint8Array) => string[] {
  const decoder = new TextDecoder();
  let rest = "";
  return (chunk) => {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = parts.pop() ?? "";
    return parts.filter((line) => line.trim() !== "");
  };
}

function frameOf(text: string): Frame {
  const frame: Frame = { id: undefined, event: "message", data: "" };
  const data: string[] = [];
  for (const line of text.split(/\r?\n/)) {
    const [, name, value] = /^(\w+)(?:: ?(.*))?$/s.exec(line) ?? [];
    if (name === "data") data.push(value ?? "");
    else if (name === "id") frame.id = value;
    else if (name === "event") frame.event = value ?? "";
  }
  frame.data = data.join("\n");
  return frame;
}
