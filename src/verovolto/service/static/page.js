"use strict";
// Uploads with progress, progress of a scan, seeking by the timeline. No library, nothing from elsewhere.

const at = (selector) => document.querySelector(selector);
const all = (selector) => [...document.querySelectorAll(selector)];
const say = (text) => { const status = at("#status"); if (status) status.textContent = text; };
const showProblem = (text) => { const box = at("#problem"); box.textContent = text; box.hidden = !text; };

// ---- history of this session
const HISTORY = "verovolto-history";
const history_ = () => { try { return JSON.parse(sessionStorage.getItem(HISTORY) || "[]"); } catch { return []; } };
const remember = (scan) => sessionStorage.setItem(HISTORY, JSON.stringify(
  [{ id: scan.id, names: scan.files.map((file) => file.name) }, ...history_()].slice(0, 50)));
const forget = (id) => sessionStorage.setItem(HISTORY, JSON.stringify(history_().filter((each) => each.id !== id)));

function showHistory() {
  const list = at("#history-list");
  if (!list) return;
  for (const each of history_()) {
    const link = document.createElement("a");
    link.href = `/scans/${encodeURIComponent(each.id)}`;
    link.textContent = each.names.join(", ");
    const item = document.createElement("li");
    item.append(link);
    list.append(item);
  }
  at("#history-section").hidden = !history_().length;
}

// ---- uploads
let files = [];

function listFiles() {
  const list = at("#list");
  list.replaceChildren(...files.map((file) => {
    const item = document.createElement("li");
    const name = document.createElement("span");
    name.textContent = `${file.name} (${(file.size / 1e6).toFixed(1)} MB)`;
    const bar = document.createElement("progress");
    bar.max = 1;
    bar.value = 0;
    bar.hidden = true;
    bar.setAttribute("aria-label", `Upload of ${file.name}`);
    item.append(name, bar);
    file.bar = bar;
    return item;
  }));
  at("#go").disabled = !files.length;
  say(files.length ? `${files.length} chosen` : "");
  showProblem("");
}

function upload(file) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", `/v1/files?name=${encodeURIComponent(file.name)}`);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    file.bar.hidden = false;
    request.upload.onprogress = (event) => { if (event.lengthComputable) file.bar.value = event.loaded / event.total; };
    request.onload = () => {
      let answer = {};
      try { answer = JSON.parse(request.responseText); } catch { /* its status says enough */ }
      if (request.status === 200) resolve(answer);
      else reject(new Error(`${file.name}: ${answer.detail || answer.title || request.status}`));
    };
    request.onerror = () => reject(new Error(`${file.name}: the connection broke off`));
    request.send(file);
  });
}

async function scan(event) {
  event.preventDefault();
  at("#go").disabled = true;
  showProblem("");
  try {
    const refs = [];
    for (const file of files) {
      say(`Uploading ${file.name}`);
      const stored = await upload(file);
      refs.push({ id: stored.id, name: file.name });
    }
    say("Asking for the scan");
    const choice = at("#choice").selectedOptions[0].dataset;
    const fps = at("#fps").value;
    const answer = await fetch("/v1/scans", {
      method: "POST",
      headers: { "Content-Type": "application/json", "Idempotency-Key": crypto.getRandomValues(new Uint32Array(4)).join("-") },
      body: JSON.stringify({
        files: refs, false_alarm: Number(choice.rate), detector: choice.detector, fps: fps ? Number(fps) : null,
        faces: at("#faces").value, no_faces: at("#no-faces").checked,
      }),
    });
    const info = await answer.json();
    if (!answer.ok) throw new Error(info.detail || info.title);
    remember(info);
    location.assign(info.links.page);
  } catch (error) {
    say("");
    showProblem(error.message);
    at("#go").disabled = !files.length;
  }
}

function startUpload() {
  const form = at("#upload");
  if (!form) return;
  const chosen = at("#chosen"), drop = at("#drop"), choice = at("#choice");
  const take = (list) => { if (list.length) { files = [...list]; listFiles(); } };
  chosen.addEventListener("change", () => take(chosen.files));
  for (const name of ["dragover", "dragenter"]) drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => { event.preventDefault(); drop.classList.remove("over"); take(event.dataTransfer.files); });
  const promise = () => all(".promise").forEach((each) => { each.hidden = each.dataset.choice !== choice.value; });
  choice.addEventListener("change", promise);
  promise();
  form.addEventListener("submit", scan);
  if (chosen.files.length) take(chosen.files);
}

// ---- a scan under way
function follow() {
  const box = at("#waiting");
  if (!box) return;
  const url = `/v1/scans/${box.dataset.scan}`;
  const update = (info) => {
    at("#progress").max = info.progress.total;
    at("#progress").value = info.progress.done;
    if (info.state === "queued") say(`Waiting: number ${info.place} in the queue`);
    else if (info.state === "running") say(`Scanning: ${Math.floor(100 * info.progress.done / info.progress.total)} %`);
    else location.reload();
  };
  const poll = async () => {
    try {
      const answer = await fetch(url);
      if (!answer.ok) { location.reload(); return; }
      update(await answer.json());
    } catch { say("The service does not answer; trying again"); }
    setTimeout(poll, 1500);
  };
  const source = new EventSource(`${url}/events`);
  source.addEventListener("scan", (event) => update(JSON.parse(event.data)));
  source.onerror = () => { source.close(); poll(); };
}

async function remove(id, then) {
  const answer = await fetch(`/v1/scans/${id}`, { method: "DELETE" });
  if (answer.ok || answer.status === 404) then();
  else say((await answer.json()).detail);
}

// ---- a result
function seek(id, seconds) {
  const video = document.getElementById(id);
  if (video) video.currentTime = seconds;
}

function startTimeline(line) {
  const stops = JSON.parse(line.dataset.stops), duration = Number(line.dataset.duration);
  const video = document.getElementById(line.dataset.video), now = line.querySelector(".now");
  const output = line.closest("figure").querySelector(".at");
  let place = -1;
  const mark = (seconds) => {
    const x = 1000 * Math.min(seconds / duration, 1);
    now.setAttribute("x1", x);
    now.setAttribute("x2", x);
  };
  const go = (number) => {
    place = Math.max(0, Math.min(stops.length - 1, number));
    const stop = stops[place];
    line.setAttribute("aria-valuenow", stop.t);
    line.setAttribute("aria-valuetext", stop.text);
    output.textContent = stop.text;
    mark(stop.t);
    if (video) video.currentTime = stop.t;
  };
  line.addEventListener("click", (event) => {
    const box = line.getBoundingClientRect();
    const seconds = (event.clientX - box.left) / box.width * duration;
    const distance = stops.map((stop) => Math.abs(stop.t - seconds));
    go(distance.indexOf(Math.min(...distance)));
  });
  line.addEventListener("keydown", (event) => {
    const step = { ArrowRight: place + 1, ArrowUp: place + 1, ArrowLeft: place - 1, ArrowDown: place - 1, Home: 0, End: stops.length - 1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    go(step);
  });
  if (video) video.addEventListener("timeupdate", () => mark(video.currentTime));
}

async function copyText() {
  const text = at("#text");
  try {
    await navigator.clipboard.writeText(text.textContent);
    say("Copied");
  } catch {  // without a secure context there is no clipboard: show it, selected
    text.hidden = false;
    getSelection().selectAllChildren(text);
    say("Press Ctrl+C to copy the text below");
  }
}

function startResult() {
  all(".timeline").forEach(startTimeline);
  all("button.seek").forEach((button) => button.addEventListener("click", () => seek(button.dataset.video, Number(button.dataset.t))));
  all("[data-unplayable]").forEach((notice) => {
    document.getElementById(notice.dataset.unplayable).addEventListener("error", () => { notice.hidden = false; });
  });
  at("#copy")?.addEventListener("click", copyText);
  at("#blur")?.addEventListener("change", (event) => at("main").classList.toggle("blurred", event.target.checked));
  at("#cancel")?.addEventListener("click", (event) => remove(event.target.dataset.scan, () => say("Cancelled")));
  at("#delete")?.addEventListener("click", (event) => {
    if (confirm("Delete this scan, its results and its files?")) {
      remove(event.target.dataset.scan, () => { forget(event.target.dataset.scan); location.assign("/"); });
    }
  });
}

showHistory();
startUpload();
follow();
startResult();
