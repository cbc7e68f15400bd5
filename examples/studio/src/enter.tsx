/** Signing in. */
import { type FormEvent, useState } from "react";
import { Mark } from "./parts.js";
import { signIn } from "./server.js";
import { sayError } from "./words.js";

const Water = () => (
  <svg className="water" viewBox="0 0 600 300" preserveAspectRatio="none" aria-hidden="true">
    <path d="M0 110c100-46 200 46 300 0s200 46 300 0v190H0z" fill="#8a3a1f" opacity=".75" />
    <path d="M0 170c120-40 240 40 360 0s180 36 240 0v130H0z" fill="#57230f" opacity=".85" />
    <path d="M0 232c90-30 180 30 270 0s240 34 330 0v68H0z" fill="#2a120b" />
  </svg>
);

export function Enter({ onEnter }: { onEnter: (email: string) => void }) {
  const [email, setEmail] = useState("");
  const [trouble, setTrouble] = useState("");
  const [busy, setBusy] = useState(false);
  const enter = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setTrouble("");
    try {
      onEnter(await signIn(email));
    } catch (error) {
      setTrouble(sayError(error));
      setBusy(false);
    }
  };
  return (
    <div className="enter">
      <div className="scene"><span className="sun" /><Water /><span className="brand"><Mark />Millpond</span><h2>Say what you see. Watch it come to life.</h2></div>
      <main id="main">
        <form onSubmit={(event) => void enter(event)} noValidate={false}>
          <h1>Sign in</h1>
          <p>New here? Your address opens an account, with 30 credits to begin with.</p>
          <div className="field"><label htmlFor="email">E-mail</label>
            <input className="in" id="email" type="email" required autoComplete="email" placeholder="mara@millpond.example" value={email} aria-invalid={!!trouble} aria-describedby={trouble ? "email-trouble" : undefined} onChange={(event) => setEmail(event.target.value)} />
            {trouble && <span className="error" id="email-trouble" role="alert">{trouble}</span>}</div>
          <button className="btn primary big" disabled={busy}>Come in</button>
          <p>This is a demonstration: the address is enough, and nothing is sent to it.</p>
        </form>
      </main>
    </div>
  );
}
