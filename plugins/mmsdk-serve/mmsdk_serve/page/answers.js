async function predict(form) {
  const told = await ask(form, "predict", Object.keys(state.current.columns), { shares: "true" });
  if (!told) return;
  const { error, predictions, shares = {} } = told.results[0];
  if (error) said(failure(error));
  else said(...Object.entries(predictions).map(([head, one]) => section(head, one, shares[head])));
}

function section(head, one, shares) {
  const made = make("section", {}, make("h2", {}, head));
  if (one.value && one.value.png) made.append(make("img", { src: "data:image/png;base64," + one.value.png, alt: head }));
  else made.append(make("div", { className: "said" }, typeof one.value === "number" ? one.value.toPrecision(4) : [].concat(one.value ?? "nothing").join(", ")));
  if (one.confidence != null) made.append(make("p", { className: "soft" }, "confidence " + (100 * one.confidence).toFixed(1) + " %"));
  const best = Object.entries(one.scores || {}).sort((a, b) => b[1] - a[1]).slice(0, 5);
  made.append(...best.map(([label, score]) => bar(label, score, 1, (100 * score).toFixed(1) + " %")));
  if (shares) {
    const most = Math.max(...Object.values(shares).map(Math.abs), 1e-9);
    made.append(make("p", { className: "soft" }, "What each input did for this answer"));
    made.append(...Object.entries(shares).map(([name, share]) => bar(name, share, most, (share < 0 ? "" : "+") + share.toFixed(3))));
  }
  return made;
}

function bar(name, value, most, text) {
  const fill = make("div", { className: value < 0 ? "fill less" : "fill" });
  fill.style.width = 100 * Math.abs(value) / most + "%";
  return make("div", { className: "bar" }, make("span", { title: name }, name), make("div", { className: "track" }, fill), make("span", {}, text));
}
