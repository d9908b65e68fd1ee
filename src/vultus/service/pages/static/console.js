// What pages gain with scripts: pictures chosen, dropped, pasted or taken; answers without a reload;
// faces and list in step. Pictures are shown from the browser's own memory.

import { openCamera } from "./camera.js";

const MAX_SIDE = 1600;
const root = document.documentElement;
root.classList.add("js");

/** Pictures that were last sent, by field: upright copies as addresses of the browser's own. */
const sent = new Map();
/** What was sent for the last grouping, in order: blobs and names. */
let grouped = [];

const say = (text) => {
  const place = document.getElementById("said");
  place.textContent = "";
  requestAnimationFrame(() => (place.textContent = text));
};

/** Return an upright copy of a picture as a blob, no side longer than `side` pixels. */
async function smaller(file, side = MAX_SIDE, quality = 0.9) {
  const bitmap = await createImageBitmap(file);
  const scale = Math.min(1, side / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", quality));
  if (!blob) throw new Error("cannot be encoded");
  return blob;
}

/** Replace what `sent` holds for a field, so that no old copy stays in memory. */
function keep(name, blob) {
  if (sent.has(name)) URL.revokeObjectURL(sent.get(name));
  sent.delete(name);
  if (blob) sent.set(name, URL.createObjectURL(blob));
}

// --- choosing pictures ---------------------------------------------------------------------------

function showChosen(drop) {
  const input = drop.querySelector("input[type=file]");
  const shown = drop.querySelector("[data-chosen]");
  for (const image of shown.querySelectorAll("img")) URL.revokeObjectURL(image.src);
  shown.replaceChildren();
  const files = [...input.files];
  drop.classList.toggle("has-file", files.length > 0);
  shown.hidden = files.length === 0;
  const many = input.multiple;
  for (const file of files.slice(0, many ? 12 : 1)) {
    const image = new Image();
    image.alt = "";
    image.className = many ? "many" : "";
    image.src = URL.createObjectURL(file);
    image.addEventListener("error", () => image.remove());
    shown.append(image);
  }
  const text = document.createElement("span");
  text.textContent = files.length > 1 ? `${files.length} pictures` : (files[0]?.name ?? "");
  shown.append(text);
  const title = drop.querySelector(".drop-label strong");
  title.dataset.first ??= title.textContent;
  title.textContent = files.length ? (many ? "Choose others" : "Choose another") : title.dataset.first;
  if (files.length) say(`${text.textContent} chosen`);
}

function put(input, files) {
  const pictures = files.filter((file) => file.type.startsWith("image/") || /\.(tiff?|bmp|pnm|ppm|pgm)$/i.test(file.name));
  if (!pictures.length) {
    say("That is not a picture.");
    return;
  }
  const most = Number(input.closest("[data-drop]").dataset.most ?? 1);
  pictures.sort((a, b) => (a.webkitRelativePath || a.name).localeCompare(b.webkitRelativePath || b.name, undefined, { numeric: true }));
  if (pictures.length > most) say(`Only the first ${most} pictures are taken.`);
  const transfer = new DataTransfer();
  for (const file of pictures.slice(0, most)) transfer.items.add(file);
  input.files = transfer.files;
  chosen(input);
}

function chosen(input) {
  const drop = input.closest("[data-drop]");
  showChosen(drop);
  if ("auto" in drop.dataset && input.files.length && input.form.checkValidity()) input.form.requestSubmit();
}

/** Return the files of a drop, those of folders included. */
async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return [...transfer.files];
  const found = [];
  const walk = async (entry) => {
    if (entry.isFile) found.push(await new Promise((done, fail) => entry.file(done, fail)));
    else {
      const reader = entry.createReader();
      for (;;) {
        const batch = await new Promise((done, fail) => reader.readEntries(done, fail));
        if (!batch.length) break;
        for (const child of batch) await walk(child);
      }
    }
  };
  for (const entry of entries) await walk(entry);
  return found;
}

for (const drop of document.querySelectorAll("[data-drop]")) {
  const input = drop.querySelector("input[type=file]");
  input.addEventListener("change", () => chosen(input));
  for (const kind of ["dragenter", "dragover"])
    drop.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, () => drop.classList.remove("over"));
  drop.addEventListener("drop", async (event) => {
    event.preventDefault();
    put(input, await dropped(event.dataTransfer));
  });
}

document.addEventListener("paste", (event) => {
  const files = [...(event.clipboardData?.files ?? [])];
  if (!files.length) return;
  const inputs = [...document.querySelectorAll("[data-drop] input[type=file]")];
  const target = inputs.find((input) => input.closest("[data-drop]").matches(":hover, :focus-within")) ?? inputs.find((input) => !input.files.length) ?? inputs[0];
  if (target) {
    event.preventDefault();
    put(target, files);
  }
});

document.addEventListener("click", async (event) => {
  const folder = event.target.closest("[data-folder]");
  if (folder) {
    const picker = document.createElement("input");
    picker.type = "file";
    picker.webkitdirectory = true;
    picker.addEventListener("change", () => put(document.getElementById(folder.dataset.folder), [...picker.files]));
    picker.click();
  }
  const camera = event.target.closest("[data-camera]");
  if (camera) {
    const file = await openCamera();
    if (file) put(document.getElementById(camera.dataset.camera), [file]);
    camera.focus();
  }
});

// --- answers without a reload --------------------------------------------------------------------

const parsed = (html) => new DOMParser().parseFromString(html, "text/html").body;

function show(html, { focus = true } = {}) {
  const result = document.getElementById("result");
  const held = document.activeElement?.id;
  result.replaceChildren(...parsed(html).childNodes);
  dress(result);
  const heading = result.querySelector("h2");
  if (focus && heading) {
    heading.focus({ preventScroll: true });
    result.scrollIntoView({ block: "start" });
    say(heading.textContent.trim());
  } else if (held) document.getElementById(held)?.focus({ preventScroll: true });
  return result;
}

async function ask(address, options = {}) {
  const response = await fetch(address, {
    ...options,
    credentials: "same-origin",
    headers: { "X-Fragment": "1", Accept: "text/html" },
  });
  return { ok: response.ok, html: await response.text() };
}

/** Bring those parts of the page up to date that an answer has changed. */
async function refresh() {
  const response = await fetch(location.pathname, { headers: { Accept: "text/html" } });
  if (!response.ok) return;
  const fresh = parsed(await response.text());
  for (const part of document.querySelectorAll("[data-fresh]")) {
    const now = fresh.querySelector(`[data-fresh="${part.dataset.fresh}"]`);
    if (now) part.replaceWith(now);
  }
}

const failed = (text) => {
  const panel = parsed('<div class="panel problem-panel" role="alert"><h2 tabindex="-1">No answer</h2><p></p></div>').firstChild;
  panel.querySelector("p").textContent = text;
  document.getElementById("result").replaceChildren(panel);
  panel.querySelector("h2").focus();
};

/** Return what a form sends; large pictures of a grouping are made smaller to fit. */
async function contents(form) {
  const data = new FormData(form);
  if (!("group" in form.dataset)) return data;
  const files = data.getAll("file");
  grouped = [];
  const budget = Math.floor((Number(form.dataset.budget) * 0.92) / files.length);
  const most = Math.min(budget, Number(form.dataset.pictureBudget));
  data.delete("file");
  for (const [index, file] of files.entries()) {
    let blob = file;
    for (const [side, quality] of [[1600, 0.88], [1200, 0.85], [900, 0.8], [640, 0.75]]) {
      if (blob.size <= most && (blob !== file || file.size < 400_000)) break;
      blob = await smaller(file, side, quality).catch(() => file);
      if (blob === file) break;
    }
    data.append("file", blob, String(index));
    grouped.push({ blob, name: file.name });
    if (index % 8 === 7) say(`${index + 1} of ${files.length} pictures prepared`);
  }
  return data;
}

async function send(form, submitter) {
  const button = submitter ?? form.querySelector("button.primary");
  if (button?.getAttribute("aria-busy") === "true") return;
  button?.setAttribute("aria-busy", "true");
  const result = document.getElementById("result");
  const busy = parsed('<p class="busy" role="status"></p>').firstChild;
  busy.textContent = "Working on it …";
  if (form.enctype === "multipart/form-data") result.replaceChildren(busy);
  result.scrollIntoView({ block: "nearest" });
  try {
    const multipart = form.enctype === "multipart/form-data";
    const data = await contents(form);
    let unseen = false;
    if (multipart && !("group" in form.dataset) && !("keep" in form.dataset)) {
      sent.forEach((_, name) => keep(name, null));
      for (const [name, file] of data)
        if (file instanceof File) {
          const copy = await smaller(file).catch(() => null);
          keep(name, copy);
          unseen ||= copy === null;
        }
    }
    // The server's copy stands in for a picture that the browser cannot show.
    if (unseen) data.append("preview", "1");
    const body = multipart ? data : new URLSearchParams(data);
    const { ok, html } = await ask(form.action, { method: "POST", body });
    show(html);
    form.classList.toggle("done", ok);
    if (ok && "group" in form.dataset) {
      const job = document.querySelector("[data-job]")?.dataset.job;
      if (job) history.replaceState(null, "", `/group/${job}`);
    }
    if (ok && "keep" in form.dataset) {
      const input = form.querySelector("input[type=file]");
      input.value = "";
      showChosen(input.closest("[data-drop]"));
      await refresh();
    }
  } catch {
    failed("The server could not be reached. It may have stopped, or the connection is gone.");
  } finally {
    button?.removeAttribute("aria-busy");
  }
}

document.addEventListener("change", (event) => {
  const form = event.target.matches?.("[data-again]") ? event.target.form : null;
  if (form?.classList.contains("done") && form.checkValidity()) form.requestSubmit();
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!("live" in form.dataset)) return;
  event.preventDefault();
  send(form, event.submitter);
});

// --- what answers hold ---------------------------------------------------------------------------

function dress(place) {
  for (const image of place.querySelectorAll("image[data-photo]"))
    if (!image.hasAttribute("href") && sent.has(image.dataset.photo)) image.setAttribute("href", sent.get(image.dataset.photo));
  for (const thumb of place.querySelectorAll("[data-thumb]")) drawThumb(thumb);
  for (const text of place.querySelectorAll("[data-file-name]")) {
    const file = grouped[Number(text.dataset.fileName)];
    if (file) text.textContent = file.name;
  }
  const poll = place.querySelector("[data-poll]");
  if (poll) setTimeout(() => watch(poll.dataset.poll), 700);
}

async function watch(address) {
  try {
    const { html } = await ask(address);
    const done = !parsed(html).querySelector("[data-poll]");
    if (!done) {
      const now = parsed(html).querySelector("progress");
      // Once in a tenth of the work: a screen reader should not talk all the time.
      const before = document.querySelector("progress");
      const tenth = (bar) => Math.floor((10 * bar.value) / bar.max);
      if (now && before && tenth(now) !== tenth(before)) say(`${now.value} of ${now.max} pictures`);
    }
    show(html, { focus: done });
  } catch {
    failed("The server could not be reached. The work goes on there if it still runs.");
  }
}

async function drawThumb(thumb) {
  const file = grouped[Number(thumb.dataset.thumb)];
  if (!file) return;
  const bitmap = await createImageBitmap(file.blob).catch(() => null);
  if (!bitmap) return;
  const [x1, y1, x2, y2] = thumb.dataset.box.split(" ").map(Number);
  const side = 1.4 * Math.max(x2 - x1, y2 - y1);
  const [x, y] = [(x1 + x2 - side) / 2, (y1 + y2 - side) / 2];
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 128;
  canvas.getContext("2d").drawImage(bitmap, x, y, side, side, 0, 0, 128, 128);
  bitmap.close();
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `Face in ${file.name}`);
  thumb.title = file.name;
  thumb.replaceChildren(canvas);
}

document.addEventListener("pointerover", (event) => light(event.target));
document.addEventListener("focusin", (event) => light(event.target));
document.addEventListener("click", (event) => {
  const mark = event.target.closest?.(".mark[data-face]");
  if (!mark) return;
  const card = document.querySelector(`li[data-face="${mark.dataset.face}"]`);
  card?.scrollIntoView({ block: "nearest" });
  card?.focus({ preventScroll: true });
});

function light(target) {
  const at = target.closest?.("[data-face]")?.dataset.face;
  for (const item of document.querySelectorAll("[data-face].on")) if (item.dataset.face !== at) item.classList.remove("on");
  if (at) for (const item of document.querySelectorAll(`[data-face="${at}"]`)) item.classList.add("on");
}

document.addEventListener("click", (event) => {
  const back = event.target.closest("[data-back]");
  if (back && history.length > 1) {
    event.preventDefault();
    history.back();
  }
});

dress(document);
