/** Collections: what belongs together, and a link for whoever may see it. */
import type { Schemas } from "@headrace/client";
import { type FormEvent, useEffect, useState } from "react";
import { useList, useNear } from "./lists.js";
import { Look } from "./look.js";
import { Dialog, Heading, Icon, say, Trouble } from "./parts.js";
import { Card } from "./pieces.js";
import { go, Link } from "./places.js";
import { server } from "./server.js";
import { type Piece, pieceOf, safe, sayError } from "./words.js";

const count = (total: number) => `${total} ${total === 1 ? "piece" : "pieces"}`;

export function Collections() {
  const { items, loading, error, more, again, change } = useList("collections", (page) => server.request("GET", "/v1/collections", { query: page }), (each) => each);
  const [name, setName] = useState("");
  const near = useNear(more);
  const make = async (event: FormEvent) => {
    event.preventDefault();
    try {
      const made = await server.collections.create({ name: name.trim(), description: "", public: false });
      setName("");
      change((known) => [made, ...known]);
      say(`“${made.name}” is there. Open a picture to put it in.`);
    } catch (refused) {
      say(sayError(refused));
    }
  };
  return (
    <section className="grid" aria-labelledby="view">
      <div className="view-head"><Heading><span id="view">Collections</span></Heading>
        <form className="inline" onSubmit={(event) => void make(event)}>
          <label className="sr" htmlFor="new-name">Name of a new collection</label>
          <input className="in" id="new-name" required maxLength={100} placeholder="Name of a new collection" value={name} onChange={(event) => setName(event.target.value)} />
          <button className="btn primary"><Icon name="plus" />Create</button></form></div>
      {error ? <Trouble text={sayError(error)} onAgain={again} /> : null}
      {!loading && !error && !items.length && <div className="empty"><h2>No collections yet</h2><p>A collection holds what belongs together, and can be shared by a link.</p></div>}
      <ul className="shelf" aria-busy={loading}>
        {items.map((each) => (
          <li key={each.id}><Link to={`/collections/${each.id}`}>
            <span className="pic">{each.cover_url ? <img src={safe(each.cover_url)} alt="" loading="lazy" /> : <Icon name="grid" />}</span>
            <b className="cut">{each.name}</b><small>{count(each.total)}</small></Link></li>
        ))}
      </ul>
      {more && <div className="more" ref={near}><button className="btn" onClick={more}>Show more</button></div>}
    </section>
  );
}

function Share({ collection, onClose }: { collection: Schemas["Collection"]; onClose: () => void }) {
  const [url, setUrl] = useState("");
  const [trouble, setTrouble] = useState("");
  useEffect(() => {
    let here = true;
    server.collections.share(collection.id).then((link) => here && setUrl(link.url), (error) => here && setTrouble(sayError(error)));
    return () => void (here = false);
  }, [collection.id]);
  const copy = () => navigator.clipboard.writeText(url).then(() => say("The link is copied."), () => say("Copy it by hand, please."));
  return (
    <Dialog label={`Share “${collection.name}”`} onClose={onClose}>
      <div className="dlg-head"><h2>Share “{collection.name}”</h2><p>Whoever has this link sees the collection, without signing in.</p></div>
      <div className="dlg-body">
        {trouble ? <Trouble text={trouble} /> : <div className="url"><input className="in" readOnly aria-label="Link" value={url} onFocus={(event) => event.target.select()} />
          <button className="btn" onClick={() => void copy()} disabled={!url}>Copy</button></div>}
      </div>
      <div className="dlg-foot"><a className="btn" href={url ? safe(url) : undefined} target="_blank" rel="noopener">Open it</a>
        <form method="dialog"><button className="btn primary">Done</button></form></div>
    </Dialog>
  );
}

export function Collection({ id }: { id: string }) {
  const [collection, setCollection] = useState<Schemas["Collection"]>();
  const [trouble, setTrouble] = useState("");
  const [asked, setAsked] = useState<"share" | "delete">();
  const [shown, setShown] = useState<Piece>();
  const { items, loading, error, more, again } = useList(`of ${id}`, (page) => server.request("GET", "/v1/collections/{collection_id}/items", { path: { collection_id: id }, query: page }), pieceOf);
  const near = useNear(more);
  useEffect(() => {
    let here = true;
    server.collections.get(id).then((found) => here && setCollection(found), (refused) => here && setTrouble(sayError(refused)));
    return () => void (here = false);
  }, [id]);
  const remove = () => server.collections.delete(id).then(() => (say("The collection is gone. What was in it is in your gallery."), go("/collections")), (refused) => say(sayError(refused)));
  if (trouble) return <section className="grid"><Heading>Collections</Heading><Trouble text={trouble} /><p><Link to="/collections">All collections</Link></p></section>;
  return (
    <section className="grid" aria-labelledby="view">
      <p><Link to="/collections">All collections</Link></p>
      <div className="view-head"><Heading><span id="view">{collection?.name ?? "…"}</span></Heading>
        <div className="row"><button className="btn" onClick={() => setAsked("delete")} disabled={!collection}>Delete…</button>
          <button className="btn primary" onClick={() => setAsked("share")} disabled={!collection}><Icon name="share" />Share</button></div></div>
      {error ? <Trouble text={sayError(error)} onAgain={again} /> : null}
      {!loading && !error && !items.length && <div className="empty"><h2>Nothing in it yet</h2><p>Open something in your gallery, and put it in.</p><div className="row"><Link to="/gallery" className="btn">To the gallery</Link></div></div>}
      <ul className="gal" aria-busy={loading}>{items.map((piece) => <Card key={piece.id} piece={piece} onOpen={setShown} />)}</ul>
      {more && <div className="more" ref={near}><button className="btn" onClick={more}>Show more</button></div>}
      {shown && <Look piece={shown} onClose={() => setShown(undefined)} />}
      {asked === "share" && collection && <Share collection={collection} onClose={() => setAsked(undefined)} />}
      {asked === "delete" && collection && (
        <Dialog label="Delete the collection" onClose={() => setAsked(undefined)}>
          <div className="dlg-head"><h2>Delete “{collection.name}”?</h2><p>Its links stop working. What is in it stays in your gallery.</p></div>
          <div className="dlg-foot"><form method="dialog"><button className="btn">Keep it</button></form>
            <button className="btn danger primary" onClick={() => void remove()}>Delete the collection</button></div>
        </Dialog>
      )}
    </section>
  );
}
