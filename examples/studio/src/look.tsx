/** One piece, large, with what can be done with it. */
import { use, useState } from "react";
import { Catalogue, Dialog, Icon, say } from "./parts.js";
import { go } from "./places.js";
import { useText } from "./pieces.js";
import { server } from "./server.js";
import { useList } from "./lists.js";
import { ago, credits, KINDS, nameOf, type Piece, safe, sayError } from "./words.js";

const GALLERY = { image: "images", video: "videos", speech: "sounds", text: null } as const;
const endingOf = (piece: Piece) => ({ image: "", video: ".mp4", speech: ".wav", text: ".txt" })[piece.kind];

function Stage({ piece }: { piece: Piece }) {
  const text = useText(piece);
  if (piece.kind === "image") return <img src={safe(piece.url)} alt={piece.says} />;
  if (piece.kind === "video") return <video src={safe(piece.url)} controls autoPlay muted loop playsInline aria-label={piece.says} />;
  if (piece.kind === "speech") return <audio src={safe(piece.url)} controls aria-label={piece.says} />;
  return <div className="read" tabIndex={0}>{text ?? "…"}</div>;
}

/** Where a piece can be put: the collections, and a new one. */
function Keep({ piece }: { piece: Piece }) {
  const { items, error, loading } = useList("collections", (page) => server.request("GET", "/v1/collections", { query: page }), (each) => each);
  const [into, setInto] = useState("");
  const [busy, setBusy] = useState(false);
  const chosen = into || items[0]?.id || "new";
  const put = async () => {
    setBusy(true);
    try {
      const id = chosen === "new" ? (await server.collections.create({ name: "New collection", description: "", public: false })).id : chosen;
      await server.collections.add(id, [piece.id]);
      say(`It is in “${items.find((each) => each.id === id)?.name ?? "New collection"}”.`);
    } catch (refused) {
      say(sayError(refused));
    }
    setBusy(false);
  };
  if (error) return null;
  return (
    <div className="inline">
      <div className="field"><label htmlFor="keep-in">Put it into</label>
        <select className="in" id="keep-in" value={chosen} onChange={(event) => setInto(event.target.value)}>
          {items.map((each) => <option key={each.id} value={each.id}>{each.name}</option>)}
          <option value="new">A new collection</option>
        </select></div>
      <button className="btn" onClick={() => void put()} disabled={busy || loading}>Put in</button>
    </div>
  );
}

export function Look({ piece, onClose, onAgain }: { piece: Piece; onClose: () => void; onAgain?: ((piece: Piece) => void) | undefined }) {
  const models = use(Catalogue);
  const gallery = GALLERY[piece.kind];
  const [liked, setLiked] = useState(piece.liked);
  const like = () => {
    setLiked(!liked);
    if (gallery) server.gallery.like(gallery, piece.id, !liked).catch((error) => (setLiked(liked), say(sayError(error))));
  };
  const again = () => (onClose(), onAgain ? onAgain(piece) : go(`/?words=${encodeURIComponent(piece.says)}`));
  return (
    <Dialog label={`${KINDS[piece.kind].one}: ${piece.says}`} className="look" onClose={onClose}>
      <form method="dialog"><button className="btn close" aria-label="Close"><Icon name="x" /></button></form>
      <div className="stage"><Stage piece={piece} /></div>
      <div className="tell">
        <h2>{piece.says}</h2>
        <dl>
          <dt>Made with</dt><dd>{nameOf(models, piece.model)}</dd>
          <dt>Made</dt><dd>{ago(piece.at)}</dd>
          {piece.size && <><dt>Size</dt><dd>{piece.size}</dd></>}
          {piece.seconds ? <><dt>Length</dt><dd>{Math.round(piece.seconds)} s</dd></> : null}
          {piece.cost != null && <><dt>Cost</dt><dd>{credits(piece.cost)}</dd></>}
        </dl>
        <div className="row">
          <a className="btn" href={safe(piece.url)} download={`millpond-${piece.id.slice(-8)}${endingOf(piece)}`}><Icon name="download" />Download</a>
          {liked != null && <button className="btn" onClick={like} aria-pressed={liked}><Icon name={liked ? "loved" : "heart"} />{liked ? "Liked" : "Like"}</button>}
          <button className="btn" onClick={again}><Icon name="retry" />Make another</button>
        </div>
        {gallery && <Keep piece={piece} />}
      </div>
    </Dialog>
  );
}
