function searchedStream(streams) {
  const select = make("select", { ariaLabel: "Search in" }, make("option", { value: "" }, "what is not asked by"));
  select.append(...streams.map(name => make("option", { value: name }, name)));
  select.addEventListener("change", () => { state.searched = select.value; });
  return make("div", { className: "field" }, make("div", { className: "name" }, "Search in"), select);
}

async function search(form) {
  const route = "search?k=24" + (state.searched ? "&in=" + encodeURIComponent(state.searched) : "");
  const told = await ask(form, route, state.current.search.columns);
  if (!told) return;
  said(make("h2", {}, "Nearest in " + told.in), make("div", { className: "gallery" }, ...told.results.map(tile)));
}

function tile(hit) {
  const made = make("figure", {}, ...hit.pictures.map(thumbnail));
  const texts = Object.entries(hit.values).filter(([name]) => name !== "id");
  made.append(make("figcaption", {}, make("b", {}, hit.rank + ". " + hit.id), make("span", { className: "soft" }, " " + hit.score.toFixed(3)),
    ...texts.map(([name, value]) => make("div", { title: name }, String(value)))));
  return made;
}

function thumbnail(number) { // fetched, as an <img> would not send the key
  const image = make("img", { alt: "", width: 128 });
  fetch(address("pictures/" + number), { headers: headers() })
    .then(answer => answer.ok ? answer.blob() : Promise.reject(answer.status))
    .then(data => { image.src = URL.createObjectURL(data); })
    .catch(() => image.replaceWith(make("p", { className: "soft" }, "no picture")));
  return image;
}
