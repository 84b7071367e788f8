"use strict";
const make = (tag, props = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), props);
  node.append(...children);
  return node;
};
const byId = id => document.getElementById(id);
const state = { pipelines: [], current: null, files: {}, searched: "", key: "" };
const headers = () => state.key ? { Authorization: "Bearer " + state.key } : {};

async function begin() {
  const answer = await fetch("pipelines", { headers: headers() });
  if (answer.status === 401) return askKey();
  state.pipelines = await answer.json();
  const which = byId("which");
  which.replaceChildren();
  if (state.pipelines.length > 1) {
    const select = make("select", { ariaLabel: "pipeline" }, ...state.pipelines.map(one => make("option", { value: one.name }, one.name)));
    select.addEventListener("change", () => show(state.pipelines.find(one => one.name === select.value)));
    which.append(select);
  } else which.append(make("span", { className: "soft" }, state.pipelines[0].name));
  show(state.pipelines[0]);
}

function askKey() {
  const key = make("input", { type: "password", id: "key", autocomplete: "off" });
  const form = byId("inputs");
  form.replaceChildren(make("label", { htmlFor: "key" }, "Key"), key, make("button", { className: "main" }, "Enter"));
  form.onsubmit = event => { event.preventDefault(); state.key = key.value.trim(); begin(); };
}

function show(pipeline) {
  state.current = pipeline;
  state.files = {};
  state.searched = "";
  const form = byId("inputs");
  form.replaceChildren(make("h2", {}, "Inputs"), ...Object.entries(pipeline.columns).map(([name, column]) => field(name, column)));
  if (pipeline.search && pipeline.search.streams.length > 1) form.append(searchedStream(pipeline.search.streams));
  if (pipeline.heads.length) form.append(make("button", { className: "main", value: "predict" }, "Predict"));
  if (pipeline.search) form.append(make("button", { className: pipeline.heads.length ? "second" : "main", value: "search" }, "Search"));
  form.onsubmit = event => { event.preventDefault(); (event.submitter.value === "search" ? search : predict)(form); };
  said(make("p", { className: "soft" }, "Give any of the inputs; leave the others empty."));
}

const said = (...nodes) => byId("answer").replaceChildren(...nodes);
const failure = text => make("p", { className: "error", role: "alert" }, text);

async function ask(form, route, names, more = {}) { // the answer to what was given; nothing where an error was told
  const body = new FormData();
  for (const name of names) {
    const value = state.files[name] || form.elements[name]?.value.trim();
    if (value) body.append(name, value);
  }
  if (![...body.keys()].length) return said(failure("Give at least one of these inputs: " + names.join(", ")));
  for (const [name, value] of Object.entries(more)) body.append(name, value);
  const buttons = form.querySelectorAll("button[value]");
  buttons.forEach(button => { button.disabled = true; });
  try {
    const answer = await fetch(address(route), { method: "POST", body, headers: headers() });
    const told = await answer.json();
    if (answer.ok) return told;
    said(failure(told.error));
  } catch { said(failure("The server cannot be reached.")); }
  finally { buttons.forEach(button => { button.disabled = false; }); }
}

const address = route => "pipelines/" + encodeURIComponent(state.current.name) + "/" + route;
