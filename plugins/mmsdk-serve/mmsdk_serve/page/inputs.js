function field(name, column) {
  const kind = make("small", {}, " " + column.kind);
  if (column.file) return make("div", { className: "field" }, make("div", { className: "name" }, name, kind), ...drop(name, column));
  const input = column.kind === "tokens" ? make("textarea", { rows: 2 }) : make("input", { type: "text" });
  Object.assign(input, { id: "in-" + name, name });
  return make("div", { className: "field" }, make("label", { htmlFor: input.id }, name, kind), input);
}

function drop(name, column) {
  const wanted = { pixels: "image/*", waveform: "audio/*", spectrogram: "audio/*", frames: "video/*" }[column.kind] || "";
  const input = make("input", { type: "file", accept: wanted, name: "file-" + name });
  const area = make("label", { className: "drop" });
  const rest = make("div", { className: "row" });
  const clear = make("button", { type: "button" }, "Leave empty");
  const shown = file => {
    state.files[name] = file || undefined;
    area.replaceChildren();
    clear.hidden = !file;
    if (file) {
      const media = { image: "img", audio: "audio", video: "video" }[file.type.split("/")[0]];
      if (media) area.append(make(media, { src: URL.createObjectURL(file), controls: true, alt: "" }));
      area.append(file.name);
    } else area.append("Drop a file, or choose one");
    area.append(input);
  };
  input.addEventListener("change", () => shown(input.files[0]));
  area.addEventListener("dragover", event => { event.preventDefault(); area.classList.add("over"); });
  area.addEventListener("dragleave", () => area.classList.remove("over"));
  area.addEventListener("drop", event => { event.preventDefault(); area.classList.remove("over"); shown(event.dataTransfer.files[0]); });
  clear.addEventListener("click", () => { input.value = ""; shown(null); });
  if (wanted === "audio/*" && navigator.mediaDevices) rest.append(recorder(shown));
  rest.append(clear);
  shown(null);
  return [area, rest];
}

