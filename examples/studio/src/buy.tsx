/** Buying credits: a pack, the checkout, and the balance that rises by itself. */
import type { Result } from "@headrace/client";
import { useCredits } from "@headrace/react";
import { type FormEvent, useEffect, useRef, useState } from "react";
import { Dialog, Icon, Trouble } from "./parts.js";
import { server } from "./server.js";
import { credits, sayError } from "./words.js";

type Payment = Result<"POST", "/v1/payments">;
const CURRENCY = "USD";
const money = (price: string | undefined) => (price ? new Intl.NumberFormat(undefined, { style: "currency", currency: CURRENCY }).format(+price) : "");

export function Buy({ onClose }: { onClose: () => void }) {
  const balance = useCredits()?.available;
  const [packs, setPacks] = useState<Result<"GET", "/v1/packs">["data"]>();
  const [pack, setPack] = useState("");
  const [payment, setPayment] = useState<Payment>();
  const [trouble, setTrouble] = useState("");
  const [busy, setBusy] = useState(false);
  const before = useRef<number>(undefined);
  const box = useRef<HTMLFormElement>(null);
  useEffect(() => void box.current?.querySelector<HTMLInputElement>(":checked")?.focus(), [packs]);
  useEffect(() => {
    let here = true;
    server.request("GET", "/v1/packs").then(
      ({ data }) => here && (setPacks(data), setPack(data[1]?.id ?? data[0]?.id ?? "")),
      (error) => here && setTrouble(sayError(error)),
    );
    return () => void (here = false);
  }, []);
  const order = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setTrouble("");
    before.current = balance;
    try {
      setPayment(await server.request("POST", "/v1/payments", { body: { pack, currency: CURRENCY, keep_card: false, return_url: `${location.origin}/studio/paid` } }));
    } catch (error) {
      setTrouble(sayError(error));
    }
    setBusy(false);
  };
  const come = payment && balance !== undefined && before.current !== undefined && balance >= before.current + payment.credits;
  return (
    <Dialog label="Buy credits" onClose={onClose}>
      <div className="dlg-head"><h2>{come ? "Thank you" : "Buy credits"}</h2>
        <p aria-live="polite">{come ? `${credits(payment.credits)} have come. You have ${balance}.` : payment ? "Pay in the other window: your credits come here by themselves." : `You have ${balance ?? "…"}. Credits last a year.`}</p></div>
      {!payment && <form id="packs" ref={box} className="dlg-body" onSubmit={(event) => void order(event)}>
        <fieldset className="packs"><legend className="sr">How many</legend>
          {packs?.map((each) => (
            <label key={each.id}><input type="radio" name="pack" value={each.id} checked={pack === each.id} onChange={() => setPack(each.id)} />
              <span><b>{each.credits}</b> credits</span><span className="push">{money(each.prices[CURRENCY])}</span></label>
          ))}
        </fieldset>
        {trouble && <Trouble text={trouble} />}
      </form>}
      {payment && <div className="dlg-body">{come ? <p className="row"><Icon name="succeeded" />Your balance is up to date.</p> : <p className="row"><Icon name="running" />Waiting for the payment of {money(payment.price)}.</p>}</div>}
      <div className="dlg-foot">
        <form method="dialog"><button className="btn">{come ? "Done" : "Not now"}</button></form>
        {payment?.pay_url && !come && <a className="btn primary" href={payment.pay_url} target="_blank" rel="noopener">Pay {money(payment.price)}</a>}
        {!payment && <button className="btn primary" form="packs" disabled={busy || !pack}>Go to the checkout</button>}
      </div>
    </Dialog>
  );
}
