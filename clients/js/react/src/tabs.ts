/**
 * One of all tabs leads: it has the stream, and tells the others. A tab that closes lets its lock go; one that freezes does so
 * when it is told to; one that answers nobody, or hears nothing itself, is robbed of it. (Chromium lets frozen pages hear
 * messages, but not their streams.)
 */

const ASK_MS = 10_000; // between a follower's questions: two without an answer, and the leader is gone

export interface Tabs {
  /** Whether this tab has the stream. */
  leads(): boolean;
  tell(message: unknown): void;
  /** Follow until somebody wakes this tab: it is about to be frozen, or put into the back-forward cache. */
  sleep(): void;
  wake(): void;
  end(): void;
}

export interface TabEvents {
  /** Lead until the signal is aborted. */
  lead(signal: AbortSignal): Promise<void>;
  /** This tab follows from now on, and does not know what it has missed. */
  follow(): void;
  /** Whether a tab that leads hears its stream, or tries to. */
  alive(): boolean;
  hear(message: unknown): void;
}

/** Join the tabs of this name; where there is no name, or no way to speak, this tab is alone and leads. */
export function joinTabs(name: string | undefined, events: TabEvents): Tabs {
  const locks = globalThis.navigator?.locks;
  const channel = name && locks && globalThis.BroadcastChannel ? new BroadcastChannel(name) : undefined;
  let turn = new AbortController();
  let over = false;
  let leading = false;
  let asleep = false;
  let robs = false;
  let asked = false;
  let awake = () => {};

  const lead = (signal: AbortSignal) => {
    if (signal.aborted) return undefined;
    leading = true;
    // A page that is about to be frozen has no time to see its stream end: the lock goes at once.
    const left = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    return Promise.race([events.lead(signal), left]);
  };

  const compete = async () => {
    await undefined; // whoever joins has this module's answer before its first word
    while (!over) {
      turn = new AbortController();
      const { signal } = turn;
      try {
        if (channel) {
          if (!robs) events.follow();
          const how = robs ? { steal: true } : { signal };
          robs = asked = false;
          await locks.request(name!, how, () => lead(signal));
        } else await lead(signal);
      } catch {
        // Another tab has taken the lock, or this one does not wait for it any more.
      }
      turn.abort();
      leading = false;
      if (asleep && !over) await new Promise<void>((resolve) => (awake = resolve));
    }
  };

  const ask = () => {
    if (leading || asleep) return;
    if (asked) {
      robs = true;
      turn.abort();
    } else {
      asked = true;
      channel?.postMessage("ask");
    }
  };

  if (channel)
    channel.onmessage = ({ data }: MessageEvent) => {
      if (data === "ask") leading && events.alive() && channel.postMessage("here");
      else {
        asked = false;
        if (data !== "here") events.hear(data);
      }
    };
  const clock = channel && setInterval(ask, ASK_MS);
  void compete();
  return {
    leads: () => leading,
    tell: (message) => channel?.postMessage(message),
    sleep: () => {
      asleep = true;
      turn.abort();
    },
    wake: () => {
      asleep = asked = false;
      awake();
    },
    end: () => {
      over = true;
      turn.abort();
      awake();
      clearInterval(clock);
      channel?.close();
    },
  };
}
