/** All that was made, with search. */
import { useEffect, useState } from "react";
import { useList, useNear } from "./lists.js";
import { Look } from "./look.js";
import { Heading, Search, Trouble } from "./parts.js";
import { Card } from "./pieces.js";
import { go, Link, usePlace } from "./places.js";
import { server } from "./server.js";
import { type Piece, pieceOf, sayError } from "./words.js";

const SHELVES = { images: "Pictures", videos: "Films", sounds: "Sounds" } as const;
type Shelf = keyof typeof SHELVES;
const addressOf = (shelf: Shelf, words: string) => {
  const query = new URLSearchParams({ ...(shelf === "images" ? {} : { of: shelf }), ...(words ? { q: words } : {}) });
  return `/gallery${query.size ? `?${query}` : ""}`;
};

export function Gallery() {
  const { query } = usePlace();
  const shelf = (Object.keys(SHELVES) as Shelf[]).find((name) => name === query.get("of")) ?? "images";
  const words = query.get("q") ?? "";
  const [typed, setTyped] = useState(words);
  const [shown, setShown] = useState<Piece>();
  useEffect(() => {
    const wait = setTimeout(() => typed.trim() !== words && go(addressOf(shelf, typed.trim()), { replace: true }), 250);
    return () => clearTimeout(wait);
  }, [typed, words, shelf]);
  const { items, loading, error, more, again } = useList(`${shelf} ${words}`, (page) =>
    words
      ? server.request("GET", `/v1/search/${shelf}` as "/v1/search/images", { query: { ...page, q: words } })
      : server.request("GET", `/v1/${shelf}` as "/v1/images", { query: page }), pieceOf);
  const near = useNear(more);
  return (
    <section className="grid" aria-labelledby="view">
      <div className="view-head"><Heading><span id="view">Gallery</span></Heading>
        <div className="seg" role="group" aria-label="Show">
          {(Object.keys(SHELVES) as Shelf[]).map((name) => (
            <button key={name} aria-pressed={name === shelf} onClick={() => go(addressOf(name, words), { replace: true })}>{SHELVES[name]}</button>
          ))}
        </div>
        <Search id="find" label="Search what you made" value={typed} onChange={setTyped} /></div>
      <p className="sr" role="status">{loading ? "" : `${items.length}${more ? " and more" : ""} found`}</p>
      {error ? <Trouble text={sayError(error)} onAgain={again} /> : null}
      {!loading && !error && !items.length && (
        <div className="empty"><h2>{words ? `Nothing of “${words}”` : "Nothing here yet"}</h2>
          <p>{words ? "Try fewer words, or another shelf." : "What you make is kept here."}</p>
          <div className="row">{words ? <button className="btn" onClick={() => setTyped("")}>Show all</button> : <Link to="/" className="btn primary">Make something</Link>}</div></div>
      )}
      <ul className="gal" aria-busy={loading}>{items.map((piece) => <Card key={piece.id} piece={piece} onOpen={setShown} />)}</ul>
      {more && <div className="more" ref={near}><button className="btn" onClick={more}>Show more</button></div>}
      {shown && <Look piece={shown} onClose={() => setShown(undefined)} />}
    </section>
  );
}
